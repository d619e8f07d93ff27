import { closeSync, constants, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { fail, type ErrorCode, ERROR_STATUS } from "@gantry/contracts";
import { errnoOf, type GantryError } from "@gantry/kernel";
import { type Frame, FrameSplitter, Kind, MAX_FRAME, Reader } from "./wire.ts";

const LONGEST_ADDRESS = 100;

/** Connects to a unix socket, however long its path is. Rejects with Node's error (ENOENT, ECONNREFUSED …). */
export function connectUnix(path: string): Promise<Socket> {
  const long = Buffer.byteLength(path) > LONGEST_ADDRESS;
  const dir = long ? openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY) : -1;
  const socket = connect({ path: long ? `/proc/self/fd/${dir}/${basename(path)}` : path, allowHalfOpen: true });
  return new Promise<Socket>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  }).finally(() => {
    if (long) closeSync(dir);
  });
}

/** The error that an `error` frame carries. */
export function errorOf(reader: Reader): GantryError {
  const exitCode = reader.i32();
  const code = reader.str();
  const message = reader.str();
  return fail(Object.hasOwn(ERROR_STATUS, code) ? code as ErrorCode : "INTERNAL", message, { details: exitCode < 0 ? {} : { exitCode } });
}

/** Sends one request and reads one answer, byte by byte no further: what follows is the stream's. An `error` answer rejects. */
export async function handshake(socket: Socket, request: Buffer): Promise<Frame> {
  socket.write(request);
  const header = await readExactly(socket, 5);
  const length = header.readUInt32LE(0);
  if (length === 0 || length > MAX_FRAME) throw fail("INTERNAL", "malformed message of a container's monitor");
  const payload = length > 1 ? await readExactly(socket, length - 1) : Buffer.alloc(0);
  const frame = { kind: header.readUInt8(4) as Kind, reader: new Reader(payload) };
  if (frame.kind === Kind.error) throw errorOf(frame.reader);
  return frame;
}

function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.off("readable", take).off("end", ended).off("error", failed).off("close", ended);
      act();
    };
    const take = () => {
      const chunk = socket.read(bytes) as Buffer | null;
      if (chunk !== null && chunk.length === bytes) settle(() => resolve(chunk));
    };
    const ended = () => settle(() => reject(fail("NOT_RUNNING", "container is not running")));
    const failed = (e: Error) => settle(() => reject(["ECONNRESET", "EPIPE"].includes(errnoOf(e) ?? "") ? fail("NOT_RUNNING", "container is not running", { cause: e }) : e));
    socket.on("readable", take).on("end", ended).on("error", failed).on("close", ended);
    take();
  });
}

/**
 * A connection on which requests are answered in order, and notices come in between.
 * `closed` resolves at its end, whatever the reason.
 */
export class Channel {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting: { resolve(frame: Frame): void; reject(e: Error): void }[] = [];
  readonly #notice: (frame: Frame) => void;
  #open = true;

  /** `isNotice` tells which frames are no answers. */
  constructor(socket: Socket, isNotice: (kind: Kind) => boolean, notice: (frame: Frame) => void) {
    this.#socket = socket;
    this.#notice = notice;
    const splitter = new FrameSplitter();
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const frame of splitter.push(chunk)) {
          if (isNotice(frame.kind)) this.#notice(frame);
          else this.#waiting.shift()?.resolve(frame);
        }
      } catch (e) {
        socket.destroy(e instanceof Error ? e : new Error(String(e)));
      }
    });
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#open = false;
        socket.destroy();
        for (const w of this.#waiting.splice(0)) w.reject(fail("NOT_RUNNING", "container is not running"));
        resolve();
      };
      socket.on("end", end).on("close", end).on("error", end);
    });
  }

  /** The answer; an `error` answer rejects. */
  async request(frame: Buffer): Promise<Frame> {
    if (!this.#open) throw fail("NOT_RUNNING", "container is not running");
    const answer = await new Promise<Frame>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(frame);
    });
    if (answer.kind === Kind.error) throw errorOf(answer.reader);
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The process may end while this is open. */
  unref(): void {
    this.#socket.unref();
  }
}

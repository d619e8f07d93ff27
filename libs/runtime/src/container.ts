import type { Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { fail } from "@gantry/contracts";
import { errnoOf, systemClock } from "@gantry/kernel";
import { type Channel, connectUnix, handshake } from "./connection.ts";
import { decodeExit } from "./exit-file.ts";
import { loadNative } from "./native.ts";
import type { AttachOptions, Cgroup, ExecProcess, ExecSpec, ExitStatus, RunningContainer } from "./port.ts";
import { encodeAttach, encodeExec, encodeUpdate } from "./spec-wire.ts";
import { type Frame, Kind, Writer } from "./wire.ts";

export const monitorSocket = (dir: string): string => join(dir, "shim.sock");

/** What connecting answers when nobody listens any more; ECONNRESET when the listener closed with the connection in its queue. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED", "ENOTDIR", "ECONNRESET"]);

/** A connection to the monitor. NOT_RUNNING when there is none. */
export async function connectMonitor(dir: string): Promise<Socket> {
  try {
    return await connectUnix(monitorSocket(dir));
  } catch (e) {
    if (GONE.has(errnoOf(e) ?? "")) throw fail("NOT_RUNNING", "container is not running", { cause: e });
    throw e;
  }
}

/** A connection that becomes a stream after one request. A reset at its end is an end. */
export async function openStream(dir: string, request: Buffer): Promise<{ stream: Socket; answer: Frame }> {
  const socket = await connectMonitor(dir);
  socket.on("error", () => {});
  try {
    return { stream: socket, answer: await handshake(socket, request) };
  } catch (e) {
    socket.destroy();
    throw e;
  }
}

export const isNotice = (kind: Kind): boolean => kind === Kind.exit || kind === Kind.execExit || kind === Kind.listening;

/** What the monitor tells without being asked. */
export class Notices {
  readonly exited: Promise<ExitStatus>;
  #resolve: (status: ExitStatus) => void = () => {};
  readonly #execs = new Map<string, (status: ExitStatus) => void>();
  readonly #listening: () => void;

  constructor(listening: () => void = () => {}) {
    this.#listening = listening;
    this.exited = new Promise((resolve) => { this.#resolve = resolve; });
  }

  take(frame: Frame): void {
    if (frame.kind === Kind.listening) this.#listening();
    if (frame.kind === Kind.exit) this.end(decodeExit(frame.reader));
    if (frame.kind === Kind.execExit) {
      const id = frame.reader.str();
      const status = { exitCode: frame.reader.i32(), oomKilled: false, finishedAt: frame.reader.i64() };
      this.#execs.get(id)?.(status);
      this.#execs.delete(id);
    }
  }

  exec(id: string): Promise<ExitStatus> {
    return new Promise((resolve) => { this.#execs.set(id, resolve); });
  }

  forget(id: string): void {
    this.#execs.delete(id);
  }

  /** The container has ended; and with it whatever exec has not said so before. */
  end(status: ExitStatus): void {
    for (const resolve of this.#execs.values()) resolve({ ...status, exitCode: 137, oomKilled: false });
    this.#execs.clear();
    this.#resolve(status);
  }
}

export interface ContainerParts {
  readonly dir: string;
  readonly channel: Channel;
  readonly notices: Notices;
  /** Finds out how the container ended when its monitor went without a word. */
  afterwards(dir: string): Promise<ExitStatus>;
}

/** The `started` frame: whether of a start or of a watch. */
export function startedContainer(parts: ContainerParts, started: Frame): RunningContainer {
  const { dir, channel, notices } = parts;
  const pid = started.reader.u32();
  const startedAt = started.reader.i64();
  const id = started.reader.str();
  const warnings = started.reader.list(() => started.reader.str());

  let ended = false;
  void notices.exited.then(() => { ended = true; channel.close(); });
  void channel.closed.then(async () => {
    if (!ended) notices.end(await settle(parts));
  });

  const ask = async (request: Buffer) => { await channel.request(request); };
  return {
    id, pid, startedAt, warnings,
    exited: notices.exited,
    attach: async (options: AttachOptions): Promise<Duplex> => (await openStream(dir, encodeAttach(options))).stream,
    kill: (signal) => ask(new Writer(Kind.kill).i32(signal).frame()),
    pause: () => ask(new Writer(Kind.pause).frame()),
    resume: () => ask(new Writer(Kind.resume).frame()),
    resize: ({ height, width }) => ask(new Writer(Kind.resize).u32(height).u32(width).frame()),
    exec: (spec: ExecSpec) => exec(parts, spec),
    pids: async () => {
      const { reader } = await channel.request(new Writer(Kind.pids).frame());
      return reader.list(() => reader.u32());
    },
    update: (cgroup: Cgroup) => ask(encodeUpdate(cgroup)),
    dnsSockets: () => dnsSockets(dir),
  };
}

/** Tries until it is known: another process may be cleaning up, or the spawner be restarting. */
async function settle(parts: ContainerParts): Promise<ExitStatus> {
  for (let wait = 20; ; wait = Math.min(wait * 2, 5_000)) {
    try {
      return await parts.afterwards(parts.dir);
    } catch {
      await systemClock.sleep(wait);
    }
  }
}

async function exec(parts: ContainerParts, spec: ExecSpec): Promise<ExecProcess> {
  const exited = parts.notices.exec(spec.id);
  try {
    const { stream, answer } = await openStream(parts.dir, encodeExec(spec));
    const pid = answer.reader.u32();
    return {
      pid, stream, exited,
      resize: async ({ height, width }) => {
        await parts.channel.request(new Writer(Kind.execResize).str(spec.id).u32(height).u32(width).frame());
      },
      kill: async (signal) => { await parts.channel.request(new Writer(Kind.execKill).str(spec.id).i32(signal).frame()); },
    };
  } catch (e) {
    parts.notices.forget(spec.id);
    throw e;
  }
}

async function dnsSockets(dir: string): Promise<{ udp: number; tcp: number } | null> {
  try {
    const { fds } = await loadNative().fdpass.requestFds(monitorSocket(dir), new Writer(Kind.dns).frame(), 2);
    const [udp, tcp] = fds;
    return udp === undefined || tcp === undefined ? null : { udp, tcp };
  } catch (e) {
    // It ended before it was asked: as a container that runs `true` does.
    if (["ENOENT", "ECONNREFUSED", "ENOTDIR", "ECONNRESET", "EPIPE"].includes(errnoOf(e) ?? "")) return null;
    throw e;
  }
}


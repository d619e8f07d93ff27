import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { fail, statusOf } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";

const MAX_BODY = 1024 * 1024;

/** The JSON body of a request that asks for an upgrade: its first bytes may have come with the head. */
export function readUpgradeBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<{ body: Record<string, unknown>; rest: Buffer }> {
  const length = Number(request.headers["content-length"] ?? 0);
  if (!Number.isInteger(length) || length < 0 || length > MAX_BODY) throw fail("TOO_LARGE", "the request's body is too large");
  return new Promise((resolve, reject) => {
    let data = head;
    const done = () => {
      socket.off("data", take);
      socket.off("close", gone);
      socket.pause();
      try {
        const text = data.toString("utf8", 0, length);
        const parsed: unknown = text.trim() === "" ? {} : JSON.parse(text);
        resolve({ body: typeof parsed === "object" && parsed !== null ? parsed as Record<string, unknown> : {}, rest: data.subarray(length) });
      } catch (cause) {
        reject(fail("INVALID", "invalid JSON in the request's body", { cause }));
      }
    };
    const take = (chunk: Buffer) => {
      data = Buffer.concat([data, chunk]);
      if (data.length >= length) done();
    };
    const gone = () => reject(fail("INVALID", "the connection was closed before the request's body had come"));
    if (data.length >= length) return done();
    socket.on("data", take);
    socket.once("close", gone);
  });
}

export function writeUpgraded(socket: Duplex, terminal: boolean): void {
  const type = terminal ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream";
  socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
}

export function writeError(socket: Duplex, error: unknown): void {
  const status = statusOf(error);
  const body = JSON.stringify({ message: error instanceof Error ? error.message : String(error), code: isGantryError(error) ? error.code : "INTERNAL" });
  socket.end(`HTTP/1.1 ${status} ${status === 304 ? "Not Modified" : "Error"}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}

/** One frame of Docker's multiplexed stream. */
export function frame(stream: 1 | 2, data: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(data.length, 4);
  return Buffer.concat([header, data]);
}

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { fail, statusOf } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";

const MAX_BODY = 1024 * 1024;

/** The JSON body of a request that asks for an upgrade. It is read from the request; what follows is the socket's. */
export async function readUpgradeBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw fail("TOO_LARGE", "the request's body is too large");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    const parsed: unknown = text.trim() === "" ? {} : JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? parsed as Record<string, unknown> : {};
  } catch (cause) {
    throw fail("INVALID", "invalid JSON in the request's body", { cause });
  }
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

import { STATUS_CODES, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { fail } from "@gantry/contracts";
import { errorAnswer } from "./error-body.ts";

const MAX_BODY = 1024 * 1024;

/** The JSON body of a request that asks for an upgrade, at most 1 MiB. It is read from the request; what follows is the socket's. */
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

/** Answers a request for an upgrade with an error, and ends the connection. */
export function refuseUpgrade(socket: Duplex, error: unknown): void {
  const { status, body } = errorAnswer(error);
  const text = JSON.stringify(body);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`);
}

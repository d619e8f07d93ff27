import type { FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { fail } from "@gantry/contracts";

const CHUNK_BYTES = 512 * 1024;
/** Buffers that wait for the next use. Touching new pages costs more than all else when a layer is sent. */
const MAX_IDLE = 16;
const idle: Buffer[] = [];

/**
 * Sends part of a file and ends the response. Two buffers take turns: one is filled while the other is on its way, and none is
 * used again before the kernel has taken it. Throws where the client leaves or the file is too short.
 */
export async function sendFile(file: FileHandle, offset: number, length: number, response: ServerResponse): Promise<void> {
  const buffers = [idle.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES), idle.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)];
  const writes: Promise<void>[] = [Promise.resolve(), Promise.resolve()];
  const closed = new Promise<never>((_, reject) => response.once("close", () => reject(new Error("the client has gone"))));
  closed.catch(() => {});
  const end = offset + length;
  for (let at = offset, turn = 0; at < end; turn ^= 1) {
    await Promise.race([writes[turn], closed]);
    const buffer = buffers[turn]!;
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK_BYTES, end - at), at);
    if (bytesRead === 0) throw fail("INTERNAL", "a blob is shorter than it was");
    at += bytesRead;
    const write = written(response, buffer.subarray(0, bytesRead));
    write.catch(() => {});
    writes[turn] = write;
  }
  await Promise.race([Promise.all(writes), closed]);
  response.end();
  // Only here: after a failure the kernel may still be sending them.
  for (const buffer of buffers) if (idle.length < MAX_IDLE) idle.push(buffer);
}

function written(response: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => response.write(chunk, (e) => (e ? reject(e) : resolve())));
}

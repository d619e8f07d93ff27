import type { FileHandle } from "node:fs/promises";
import { LONGEST_RECORD, parseRecord, recordBefore } from "./log-record.ts";
import type { LogFile } from "./log-files.ts";

const BLOCK = 256 << 10;

export async function readAt(file: FileHandle, position: number, length: number = BLOCK): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** Where the last `lines` lines begin: a file of `files`, by its index, and a position in it. */
export async function tailOf(files: readonly LogFile[], lines: number): Promise<{ index: number; position: number }> {
  let left = lines;
  for (let index = files.length - 1; index >= 0; index--) {
    const { position, seen } = await backwards(files[index]!.handle, left);
    left -= seen;
    if (position > 0 || index === 0) return { index, position };
  }
  return { index: 0, position: 0 };
}

/** The same in one file, going back by the lengths that end each record; `seen` lines were found. Position 0: there may be more before it. */
async function backwards(file: FileHandle, lines: number): Promise<{ position: number; seen: number }> {
  let end = (await file.stat()).size;
  let block: Buffer = Buffer.alloc(0);
  let start = end;
  let seen = 0;
  while (end > 0) {
    if (end - start < LONGEST_RECORD && start > 0) {
      start = Math.max(0, end - BLOCK);
      block = await readAt(file, start, end - start);
    }
    const at = recordBefore(block, end - start) + start;
    const raw = at >= start ? parseRecord(block, at - start) : null;
    if (raw === null || raw.next !== end - start) return { position: end, seen }; /* a record that is being written, or a damaged one */
    if (!raw.record.partial) {
      if (seen === lines) return { position: end, seen };
      seen++;
    }
    end = at;
  }
  return { position: 0, seen };
}

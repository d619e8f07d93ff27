import { fail } from "@gantry/contracts";

export interface LogRecord {
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly stream: "stdout" | "stderr";
  /** The line goes on in the next record of this stream; otherwise it ended here. */
  readonly partial: boolean;
  /** Without the newline. */
  readonly data: Buffer;
}

/* As native/shim/log.h describes it. */
const HEADER = 16;
const TRAILER = 4;
const MAGIC = 0x474c;
const MAX_LINE = 16_384;

/** Bytes of the longest record. */
export const LONGEST_RECORD = HEADER + MAX_LINE + TRAILER;

export interface RawRecord { readonly record: LogRecord; readonly next: number }

/** The record at `at` of a buffer; null when it is not all there. INTERNAL when there is something else. */
export function parseRecord(buffer: Buffer, at: number): RawRecord | null {
  if (buffer.length - at < HEADER) return null;
  const length = buffer.readUInt32LE(at + 8);
  if (buffer.readUInt16LE(at + 14) !== MAGIC || length > MAX_LINE) throw fail("INTERNAL", "the container's log is damaged");
  const next = at + HEADER + length + TRAILER;
  if (next > buffer.length) return null;
  return {
    next,
    record: {
      time: buffer.readBigUInt64LE(at),
      stream: buffer.readUInt8(at + 12) === 2 ? "stderr" : "stdout",
      partial: (buffer.readUInt8(at + 13) & 1) === 1,
      data: buffer.subarray(at + HEADER, at + HEADER + length),
    },
  };
}

/** Where the record begins that ends at `end` of a buffer, or before its beginning (negative). */
export function recordBefore(buffer: Buffer, end: number): number {
  return end - TRAILER - buffer.readUInt32LE(end - TRAILER) - HEADER;
}

import { watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf, isGantryError, systemClock } from "@gantry/kernel";
import { Channel } from "./connection.ts";
import { connectMonitor, isNotice } from "./container.ts";
import { Kind, Writer } from "./wire.ts";

export interface LogRecord {
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly stream: "stdout" | "stderr";
  /** The line goes on in the next record of this stream; otherwise it ended here. */
  readonly partial: boolean;
  /** Without the newline. */
  readonly data: Buffer;
}

export interface LogOptions {
  /** Nanoseconds since the epoch, both inclusive. */
  readonly since?: bigint | null;
  readonly until?: bigint | null;
  /** So many lines from the end; null: all. */
  readonly tail?: number | null;
  /** Go on until the container has ended and everything is read. */
  readonly follow?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly signal?: AbortSignal;
}

/* A record, as native/shim/log.h describes it. */
const HEADER = 16;
const TRAILER = 4;
const MAGIC = 0x474c;
const MAX_LINE = 16_384;
const BLOCK = 256 << 10;

interface Raw { readonly record: LogRecord; readonly next: number }

/** The record at `at` of a buffer; null when it is not all there. INTERNAL when there is something else. */
function parse(buffer: Buffer, at: number): Raw | null {
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

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** Where the last `lines` lines begin, going backwards by the lengths that end each record. */
async function tailPosition(file: FileHandle, lines: number): Promise<number> {
  let end = (await file.stat()).size;
  if (lines <= 0) return end;
  let block: Buffer = Buffer.alloc(0);
  let start = end;
  for (let seen = 0; end > 0;) {
    const longest = HEADER + MAX_LINE + TRAILER;
    if (end - start < longest && start > 0) {
      start = Math.max(0, end - BLOCK);
      block = await readAt(file, start, end - start);
    }
    const length = block.readUInt32LE(end - start - TRAILER);
    const at = end - TRAILER - length - HEADER;
    const raw = at >= start ? parse(block, at - start) : null;
    if (raw === null || raw.next !== end - start) return end; /* a record that is being written, or a damaged one */
    if (!raw.record.partial && ++seen > lines) return end;
    end = at;
  }
  return 0;
}

/** When the container has ended, or its monitor is gone. */
async function containerEnd(dir: string, signal: AbortSignal | undefined): Promise<{ ended: Promise<void>; close(): void }> {
  for (let tries = 0; ; tries++) {
    try {
      const socket = await connectMonitor(dir);
      let told: () => void = () => {};
      const exited = new Promise<void>((resolve) => { told = resolve; });
      const channel = new Channel(socket, isNotice, (frame) => { if (frame.kind === Kind.exit) told(); });
      try {
        await channel.request(new Writer(Kind.watch).frame());
        return { ended: Promise.race([exited, channel.closed]), close: () => channel.close() };
      } catch (e) {
        channel.close();
        throw e;
      }
    } catch (e) {
      /* UNAVAILABLE: it is about to start. */
      const starting = isGantryError(e, "UNAVAILABLE");
      if (!starting && !isGantryError(e, "NOT_RUNNING")) throw e;
      if (!starting || tries > 500 || signal?.aborted) return { ended: Promise.resolve(), close() {} };
      await systemClock.sleep(20);
    }
  }
}

/**
 * The log of the container in `dir`, oldest first. A line of more than 16 KiB comes in partial records. Nothing when it has none.
 * With `follow` it ends when the container has; `signal` ends it without an error.
 */
export async function* readLog(dir: string, options: LogOptions = {}): AsyncGenerator<LogRecord, void, void> {
  const path = join(dir, "log");
  const file = await open(path, "r").catch((e: unknown) => {
    if (errnoOf(e) === "ENOENT") return null;
    throw e;
  });
  if (file === null) return;
  const follower = options.follow === true ? await follow(dir, path, options.signal) : null;
  try {
    const tail = options.tail ?? null;
    yield* records(file, tail === null ? 0 : await tailPosition(file, tail), options, follower);
  } finally {
    follower?.close();
    await file.close();
  }
}

async function* records(file: FileHandle, from: number, options: LogOptions, follower: Follower | null): AsyncGenerator<LogRecord, void, void> {
  const { since = null, until = null, stdout = true, stderr = true, signal } = options;
  let rest: Buffer = Buffer.alloc(0);
  for (let position = from; signal?.aborted !== true;) {
    const last = follower === null || follower.ended();
    const chunk = await readAt(file, position, BLOCK);
    position += chunk.length;
    if (chunk.length === 0) {
      if (last) return;
      await follower.changed();
      continue;
    }
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let raw = parse(rest, at); raw !== null; raw = parse(rest, at)) {
      at = raw.next;
      const { record } = raw;
      if (until !== null && record.time > until) return;
      if ((since === null || record.time >= since) && (record.stream === "stdout" ? stdout : stderr)) yield record;
    }
    rest = rest.subarray(at);
  }
}

interface Follower {
  ended(): boolean;
  /** Something was written since the last call, or the container has ended. */
  changed(): Promise<void>;
  close(): void;
}

async function follow(dir: string, path: string, signal: AbortSignal | undefined): Promise<Follower> {
  let ended = false;
  let dirty = true;
  let wake: () => void = () => {};
  const touch = () => { dirty = true; wake(); };
  const watcher = watch(path, touch);
  watcher.on("error", touch);
  signal?.addEventListener("abort", touch, { once: true });
  const end = await containerEnd(dir, signal).catch((e: unknown) => {
    watcher.close();
    throw e;
  });
  void end.ended.then(() => { ended = true; touch(); });
  return {
    ended: () => ended,
    changed: async () => {
      if (!dirty) await new Promise<void>((resolve) => { wake = resolve; });
      dirty = false;
    },
    close() {
      watcher.close();
      end.close();
      signal?.removeEventListener("abort", touch);
    },
  };
}

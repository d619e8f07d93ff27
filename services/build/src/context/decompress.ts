import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { sniffCompression } from "@gantry/oci";

export type ArchiveCompression = ReturnType<typeof sniffCompression>;

const PROGRAMS = { bzip2: "bzip2", xz: "xz" } as const;

/** Reads the head of a stream without losing it. */
export async function peek(stream: AsyncIterable<Uint8Array>, bytes: number): Promise<{ head: Buffer; all: AsyncGenerator<Buffer> }> {
  const chunks = stream[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    head = head.length === 0 ? Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength) : Buffer.concat([head, next.value]);
    if (head.length >= bytes) break;
  }
  async function* all(): AsyncGenerator<Buffer> {
    try {
      if (head.length > 0) yield head;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        yield Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      }
    } finally {
      await chunks.return?.();
    }
  }
  return { head, all: all() };
}

/** The stream uncompressed. gzip and zstd are Node's; bzip2 and xz need the host's programs of that name. INVALID for damaged data. */
export async function* decompress(stream: AsyncIterable<Buffer>, compression: ArchiveCompression): AsyncGenerator<Buffer> {
  if (compression === "none") { yield* stream; return; }
  if (compression === "bzip2" || compression === "xz") { yield* byProgram(stream, PROGRAMS[compression]); return; }
  const unzip = compression === "gzip" ? createGunzip({ chunkSize: 256 * 1024 }) : createZstdDecompress({ chunkSize: 256 * 1024 });
  const source = Readable.from(stream, { objectMode: false });
  source.once("error", (e) => unzip.destroy(e));
  source.pipe(unzip);
  try {
    for await (const chunk of unzip) yield chunk as Buffer;
  } catch (cause) {
    if (String(errnoOf(cause)).startsWith("Z_") || String(errnoOf(cause)).startsWith("ZSTD_")) throw fail("INVALID", `damaged ${compression} data: ${(cause as Error).message}`, { cause });
    throw cause;
  } finally {
    source.destroy();
  }
}

async function* byProgram(stream: AsyncIterable<Buffer>, program: string): AsyncGenerator<Buffer> {
  const child = spawn(program, ["-dc"], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => reject(errnoOf(cause) === "ENOENT"
      ? fail("NOT_IMPLEMENTED", `this archive is compressed with ${program}, and the host has no program ${program}: install it, or use gzip or zstd`, { cause }) : cause));
    child.once("close", (code) => resolve(code ?? 1));
  });
  ended.catch(() => {});
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => { if (complaint.length < 1000) complaint += chunk.toString(); });
  const feeding = pipeline(Readable.from(stream, { objectMode: false }), child.stdin).catch((e: unknown) => {
    // A program that has read enough, or has died of bad data, closes its input: its exit code tells.
    if (!["EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(errnoOf(e) ?? "")) throw e;
  });
  feeding.catch((e: unknown) => child.stdout.destroy(e as Error));
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    await feeding;
    const code = await ended;
    if (code !== 0) throw fail("INVALID", `damaged ${program} data: ${complaint.trim() || `exit code ${code}`}`);
  } finally {
    child.kill("SIGKILL");
  }
}

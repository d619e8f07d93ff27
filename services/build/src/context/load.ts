import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newId } from "@gantry/kernel";
import { type ArchiveBytes, fileBytes } from "./archive-bytes.ts";
import { type ArchiveCompression, decompress, peek } from "./decompress.ts";
import { sniffCompression } from "@gantry/oci";
import { TarScanner } from "./tar-scan.ts";
import { SourceTree } from "./tree.ts";

/** An archive's entries, and where their content is. Disposed: a spool is deleted. */
export interface LoadedArchive extends AsyncDisposable {
  readonly tree: SourceTree;
  readonly bytes: ArchiveBytes;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  /** Bytes of memory, roughly, for caches. */
  readonly weight: number;
}

/** Parsed and hashed in one go, so that the event loop gets its turn. */
const SLICE = 1024 * 1024;
const SNIFF = 512;

/**
 * Reads an archive once. Plain, its content is read from `source` again later; compressed, it is spooled to a file in
 * `spoolDir` on the way, since the places of the entries are those of the uncompressed tar.
 */
export async function loadArchive(stream: AsyncIterable<Uint8Array>, source: ArchiveBytes, spoolDir: string): Promise<LoadedArchive> {
  const { head, all } = await peek(stream, SNIFF);
  const compression = sniffCompression(head);
  const tree = new SourceTree();
  const scanner = new TarScanner((entry) => tree.add(entry));
  let size = 0;
  const scanned = scan(decompress(all, compression), (chunk) => {
    size += chunk.length;
    scanner.push(chunk);
  });
  const bytes = compression === "none" ? await drain(scanned, source) : await spool(scanned, spoolDir, compression);
  scanner.finish();
  return { tree, size, ...bytes, weight: 1000 + tree.size * 500 };
}

async function* scan(stream: AsyncIterable<Buffer>, see: (chunk: Buffer) => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; at += SLICE) see(chunk.subarray(at, at + SLICE));
    yield chunk;
  }
}

async function drain(stream: AsyncIterable<Buffer>, bytes: ArchiveBytes): Promise<Pick<LoadedArchive, "bytes" | typeof Symbol.asyncDispose>> {
  const chunks = stream[Symbol.asyncIterator]();
  while ((await chunks.next()).done !== true);
  return { bytes, [Symbol.asyncDispose]: async () => {} };
}

async function spool(stream: AsyncIterable<Buffer>, dir: string, compression: ArchiveCompression): Promise<Pick<LoadedArchive, "bytes" | typeof Symbol.asyncDispose>> {
  const path = join(dir, `${newId().slice(0, 16)}.${compression}.tar`);
  const remove = () => rm(path, { force: true });
  await mkdir(dirname(path), { recursive: true });
  try {
    await pipeline(Readable.from(stream, { objectMode: false }), createWriteStream(path, { mode: 0o600 }));
  } catch (e) {
    await remove();
    throw e;
  }
  return { bytes: fileBytes(path), [Symbol.asyncDispose]: remove };
}

import { closeSync, constants, openSync } from "node:fs";
import type { NativeFs } from "@gantry/runtime";
import { formatHeader, TreeWriter } from "@gantry/snapshots";
import type { PlannedEntry } from "../domain/copy-plan.ts";

const BLOCK = 512;
const GATHER = 256 * 1024;
const ZEROS = Buffer.alloc(2 * BLOCK);
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;

/**
 * The layer tar of planned entries; while it is read, the same files are written to `directory`, the empty upper directory of
 * a snapshot that nobody has mounted. So each byte of the source is read once. The files are complete when the stream has ended.
 */
export async function* writeLayer(native: NativeFs, directory: string, entries: readonly PlannedEntry[]): AsyncGenerator<Buffer> {
  const root = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await using files = new TreeWriter(native, root);
    const out = new Gatherer();
    const directories: PlannedEntry[] = [];
    for (const entry of entries) {
      yield* out.add(formatHeader({ ...entry, name: entry.path }));
      writeEntry(files, entry);
      if (entry.type === "directory") directories.push(entry);
      if (entry.type === "file") {
        for await (const chunk of entry.content!.read(entry.source!)) {
          files.data(chunk);
          if (files.full) await files.flush();
          yield* out.add(chunk);
        }
        files.endFile();
        yield* out.add(ZEROS.subarray(0, (BLOCK - (entry.size % BLOCK)) % BLOCK));
      }
      for (const { name, value } of entry.xattrs) files.xattr(entry.path, name, value);
      if (files.full) await files.flush();
    }
    // Last, for what is made in a directory changes its time.
    for (const entry of directories) {
      files.times(entry.path, entry.mtimeNs);
      if (files.full) await files.flush();
    }
    await files.drain();
    yield* out.add(ZEROS);
    yield* out.end();
  } finally {
    closeSync(root);
  }
}

function writeEntry(files: TreeWriter, entry: PlannedEntry): void {
  switch (entry.type) {
    case "directory": return files.directory(entry.path, entry);
    case "file": return files.beginFile(entry.path, entry);
    case "symlink": return files.symlink(entry.path, entry.linkName, entry);
    case "link": return files.link(entry.path, entry.linkName);
    case "char": return files.node(entry.path, entry.major, entry.minor, { ...entry, mode: S_IFCHR | entry.mode });
    case "block": return files.node(entry.path, entry.major, entry.minor, { ...entry, mode: S_IFBLK | entry.mode });
    case "fifo": return files.node(entry.path, 0, 0, { ...entry, mode: S_IFIFO | entry.mode });
  }
}

/** Small pieces to chunks; big ones pass through. */
class Gatherer {
  #pieces: Buffer[] = [];
  #size = 0;

  *add(piece: Buffer): Generator<Buffer> {
    if (piece.length === 0) return;
    if (piece.length >= GATHER / 4) {
      yield* this.end();
      yield piece;
      return;
    }
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size >= GATHER) yield* this.end();
  }

  *end(): Generator<Buffer> {
    if (this.#size > 0) yield Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#size = 0;
  }
}

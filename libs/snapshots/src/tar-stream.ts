import { closeSync, constants, read as readFd } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { BLOCK, padding, type TarEntry } from "./tar/entry.ts";
import { formatHeader } from "./tar/header.ts";
import { bytesOf } from "./paths.ts";
import { S_IFMT, S_IFREG } from "./tree-reader.ts";

const readAsync = promisify(readFd);
/** Gathered before it is passed on: headers and small files are many. */
const CHUNK = 256 * 1024;
const READ = 512 * 1024;
const ZEROS = Buffer.alloc(256 * 1024);

/**
 * Forms the bytes of a tar stream: entries with small content are gathered to chunks, big files pass through. Each method yields
 * what is ready; the consumer may keep the chunks.
 */
export class TarBytes {
  #chunk = Buffer.allocUnsafeSlow(CHUNK);
  #fill = 0;

  /** An entry, with its content if it has any. */
  *entry(entry: TarEntry, content: Buffer | null): Generator<Buffer> {
    yield* this.#put(formatHeader(entry));
    if (content === null) return;
    yield* this.#put(content);
    yield* this.#put(ZEROS.subarray(0, padding(content.length)));
  }

  /**
   * A file's entry and its content, read from `path` beneath `rootFd`; holes are not read. A file that is gone by now is left
   * out; one that is shorter is filled up with zeros, for its header is out.
   */
  async *file(native: NativeFs, rootFd: number, path: string, entry: TarEntry): AsyncGenerator<Buffer> {
    const fd = openFile(native, rootFd, path);
    if (fd === null) return;
    try {
      yield* this.#put(formatHeader(entry));
      yield* this.#flush();
      let at = 0;
      for (const range of dataRanges(native, fd, entry.size)) {
        yield* zeros(range.offset - at);
        at = range.offset;
        const end = range.offset + range.length;
        while (at < end) {
          const buffer = Buffer.allocUnsafeSlow(Math.min(READ, end - at));
          const { bytesRead } = await readAsync(fd, buffer, 0, buffer.length, at);
          if (bytesRead === 0) break;
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      }
      yield* zeros(entry.size - at);
      yield* this.#put(ZEROS.subarray(0, padding(entry.size)));
    } finally {
      closeSync(fd);
    }
  }

  /** Two blocks of zeros, and what was gathered. */
  *end(): Generator<Buffer> {
    yield* this.#put(ZEROS.subarray(0, 2 * BLOCK));
    yield* this.#flush();
  }

  *#put(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length;) {
      const n = bytes.copy(this.#chunk, this.#fill, at);
      at += n;
      this.#fill += n;
      if (this.#fill === CHUNK) yield* this.#flush();
    }
  }

  *#flush(): Generator<Buffer> {
    if (this.#fill === 0) return;
    const full = this.#chunk.subarray(0, this.#fill);
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK);
    this.#fill = 0;
    yield full;
  }
}

function* zeros(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

function openFile(native: NativeFs, rootFd: number, path: string): number | null {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  let fd: number;
  try {
    fd = native.openat2Sync(rootFd, bytesOf(path), flags, 0, "beneath");
  } catch (e) {
    const code = errnoOf(e);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "ENXIO") return null;
    throw e;
  }
  if ((native.fstatatSync(fd, "").mode & S_IFMT) === S_IFREG) return fd;
  closeSync(fd);
  return null;
}

function dataRanges(native: NativeFs, fd: number, size: number): { offset: number; length: number }[] {
  try {
    return native.dataRangesSync(fd, size);
  } catch {
    // A file system that does not tell: all is data.
    return [{ offset: 0, length: size }];
  }
}

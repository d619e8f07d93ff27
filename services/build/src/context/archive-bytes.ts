import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { ContentStore } from "@gantry/content";
import { fail } from "@gantry/contracts";

/** The bytes of an uncompressed tar that lies still: a blob, a part of one, or a spooled file. */
export interface ArchiveBytes {
  open(range: { offset: number; length: number }): Promise<Readable>;
}

export const blobBytes = (content: ContentStore, digest: string): ArchiveBytes => ({ open: (range) => content.open(digest, range) });

/** `length` bytes of `bytes` from `offset` on, as an archive of its own. */
export const bytesWithin = (bytes: ArchiveBytes, offset: number): ArchiveBytes => ({
  open: (range) => bytes.open({ offset: offset + range.offset, length: range.length }),
});

export const fileBytes = (path: string): ArchiveBytes => ({
  open: async ({ offset, length }) => {
    const file = await open(path, "r");
    return file.createReadStream({ start: offset, end: offset + length - 1, highWaterMark: 512 * 1024 });
  },
});

/** A gap up to this is read over; for a larger one the archive is opened again further on. */
const MAX_SKIP = 1024 * 1024;

/** Reads pieces of an archive that mostly lie one behind the other, through as few opens as that allows. */
export class PieceReader implements AsyncDisposable {
  readonly #bytes: ArchiveBytes;
  readonly #end: number;
  #chunks: AsyncIterator<Buffer> | null = null;
  #stream: Readable | null = null;
  #rest: Buffer = Buffer.alloc(0);
  /** Position of `#rest` in the archive. */
  #position = 0;

  /** `end`: nothing beyond this offset will be asked for. */
  constructor(bytes: ArchiveBytes, end: number) {
    this.#bytes = bytes;
    this.#end = end;
  }

  /** `size` bytes from `offset` on. Throws INVALID where the archive is shorter. */
  async *read(offset: number, size: number): AsyncGenerator<Buffer> {
    if (size === 0) return;
    if (this.#chunks === null || offset < this.#position || offset - this.#position > MAX_SKIP + this.#rest.length) await this.#reopen(offset);
    for (let left = size; left > 0;) {
      const gap = offset + (size - left) - this.#position;
      const from = Math.min(gap, this.#rest.length);
      const piece = gap > from ? this.#rest.subarray(this.#rest.length) : this.#rest.subarray(from, from + left);
      this.#rest = this.#rest.subarray(from + piece.length);
      this.#position += from + piece.length;
      left -= piece.length;
      if (piece.length > 0) yield piece;
      if (left > 0 && this.#rest.length === 0) await this.#more();
    }
  }

  async #reopen(offset: number): Promise<void> {
    this.#stream?.destroy();
    this.#stream = await this.#bytes.open({ offset, length: this.#end - offset });
    this.#chunks = this.#stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#rest = Buffer.alloc(0);
    this.#position = offset;
  }

  async #more(): Promise<void> {
    const next = await this.#chunks!.next();
    if (next.done === true) throw fail("INVALID", "the build context is shorter than it was");
    this.#rest = next.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream?.destroy();
  }
}

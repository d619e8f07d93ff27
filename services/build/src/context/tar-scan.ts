import { createHash, type Hash } from "node:crypto";
import { TarParser, type TarEntry } from "@gantry/snapshots";

/** A file, directory or link to be copied. Names and links are binary strings (one character a byte), as in `TarEntry`. */
export interface SourceEntry extends TarEntry {
  /** sha256 of the content as hex; empty where there is none, or where it is not known yet. */
  readonly sha256: string;
  /** Where the content's bytes are, for the reader of the source. */
  readonly offset: number;
  /** The same for all names of one file (hard links); empty where the file has one name. */
  readonly inode: string;
}

/** Reads an uncompressed tar once, from front to back: entries with the offsets and digests of their content. INVALID where it is none. */
export class TarScanner {
  readonly #emit: (entry: SourceEntry) => void;
  readonly #parser: TarParser;
  #chunk: Buffer = Buffer.alloc(0);
  /** Position of `#chunk` in the archive. */
  #base = 0;
  #entry: TarEntry | null = null;
  #offset = -1;
  #hash: Hash | null = null;

  constructor(emit: (entry: SourceEntry) => void) {
    this.#emit = emit;
    this.#parser = new TarParser({
      entry: (entry) => this.#begin(entry),
      data: (chunk) => {
        if (this.#offset < 0) this.#offset = this.#base + (chunk.byteOffset - this.#chunk.byteOffset);
        (this.#hash ??= createHash("sha256")).update(chunk);
      },
      end: () => this.#end(),
    });
  }

  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#parser.push(chunk);
    this.#base += chunk.length;
  }

  finish(): void {
    this.#parser.finish();
  }

  #begin(entry: TarEntry): void {
    if (entry.type === "file") {
      this.#entry = entry;
      this.#offset = -1;
      this.#hash = null;
    } else this.#emit({ ...entry, sha256: "", offset: 0, inode: "" });
  }

  #end(): void {
    this.#emit({ ...this.#entry!, sha256: this.#hash?.digest("hex") ?? "", offset: Math.max(this.#offset, 0), inode: "" });
    this.#entry = null;
  }
}

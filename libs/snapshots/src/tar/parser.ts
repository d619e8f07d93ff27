import { fail } from "@gantry/contracts";
import { BLOCK, padding, type TarEntry, type TarType, type Xattr } from "./entry.ts";
import { readHeader, type RawHeader } from "./header.ts";
import { parseDecimal, parseTime } from "./numbers.ts";
import { readPax, XATTR_PREFIX, type PaxRecords } from "./pax.ts";

/** What the parser tells, in the order of the archive. All synchronous: back-pressure is the feeder's, between chunks. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** The next bytes of a file's content: a part of the chunk that was pushed, not a copy. */
  data(chunk: Buffer): void;
  /** After the content of a file. */
  end(): void;
}

/** One extended header: names and attributes. */
const EXTENDED_MAX = 1 << 20;
const TYPES: Partial<Record<string, TarType>> = {
  "0": "file", "\0": "file", "7": "file", "1": "link", "2": "symlink", "3": "char", "4": "block", "5": "directory", "6": "fifo",
};

/**
 * A push parser of tar archives: V7, ustar, PAX and GNU with long names. INVALID for what is malformed, and for GNU's sparse
 * files. What follows the end of the archive is ignored.
 */
export class TarParser {
  readonly #handler: TarHandler;
  readonly #block = Buffer.alloc(BLOCK);
  #blockFill = 0;
  #ended = false;
  /** Content that remains: `content` of an entry, `extended` header, or `skip`. */
  #state: "header" | "content" | "extended" | "skip" = "header";
  #left = 0;
  #extended: Buffer[] = [];
  #extendedType = "";
  #extendedSize = 0;
  readonly #global: PaxRecords = new Map();
  #local: PaxRecords = new Map();
  #longName: string | null = null;
  #longLink: string | null = null;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      if (this.#state === "header") at = this.#takeHeader(chunk, at);
      else at = this.#takeContent(chunk, at);
    }
  }

  /** After the last chunk. INVALID in the middle of an entry. */
  finish(): void {
    if (this.#ended) return;
    if (this.#state !== "header" || this.#blockFill > 0 || this.#local.size > 0) throw fail("INVALID", "invalid tar archive: unexpected EOF");
  }

  #takeHeader(chunk: Buffer, at: number): number {
    if (this.#blockFill === 0 && chunk.length - at >= BLOCK) {
      this.#header(chunk.subarray(at, at + BLOCK));
      return at + BLOCK;
    }
    const n = Math.min(BLOCK - this.#blockFill, chunk.length - at);
    chunk.copy(this.#block, this.#blockFill, at, at + n);
    this.#blockFill += n;
    if (this.#blockFill === BLOCK) {
      this.#blockFill = 0;
      this.#header(this.#block);
    }
    return at + n;
  }

  #takeContent(chunk: Buffer, at: number): number {
    const n = Math.min(this.#left, chunk.length - at);
    if (n > 0) {
      if (this.#state === "content") this.#handler.data(chunk.subarray(at, at + n));
      else if (this.#state === "extended") this.#extended.push(Buffer.from(chunk.subarray(at, at + n)));
      this.#left -= n;
    }
    if (this.#left === 0) this.#contentEnded();
    return at + n;
  }

  #contentEnded(): void {
    if (this.#state === "content") {
      this.#handler.end();
      this.#skip(padding(this.#extendedSize));
    } else if (this.#state === "extended") {
      this.#applyExtended(Buffer.concat(this.#extended));
      this.#skip(padding(this.#extendedSize));
    } else {
      this.#state = "header";
    }
  }

  #skip(bytes: number): void {
    this.#left = bytes;
    this.#state = bytes === 0 ? "header" : "skip";
  }

  #header(block: Buffer): void {
    const raw = readHeader(block);
    if (raw === null) {
      // The first of two blocks of zeros; nobody writes entries between them.
      this.#ended = true;
      return;
    }
    if (raw.size < 0) throw fail("INVALID", "invalid tar header: negative size");
    if ("xgLKX".includes(raw.typeflag)) return this.#beginExtended(raw);
    this.#entry(raw);
  }

  #beginExtended(raw: RawHeader): void {
    if (raw.size > EXTENDED_MAX) throw fail("INVALID", `invalid tar header: extended header of ${raw.size} bytes is too large`);
    this.#extended = [];
    this.#extendedType = raw.typeflag;
    this.#extendedSize = this.#left = raw.size;
    this.#state = "extended";
    if (raw.size === 0) this.#contentEnded();
  }

  #applyExtended(bytes: Buffer): void {
    this.#extended = [];
    if (this.#extendedType === "x" || this.#extendedType === "X") readPax(bytes, this.#local);
    else if (this.#extendedType === "g") readPax(bytes, this.#global);
    else {
      const nul = bytes.indexOf(0);
      const text = bytes.toString("latin1", 0, nul < 0 ? bytes.length : nul);
      if (this.#extendedType === "L") this.#longName = text;
      else this.#longLink = text;
    }
  }

  #entry(raw: RawHeader): void {
    const pax = (key: string): string | undefined => this.#local.get(key) ?? this.#global.get(key);
    const number = (key: string, value: number): number => {
      const text = pax(key);
      return text === undefined ? value : parseDecimal(text);
    };
    for (const records of [this.#local, this.#global]) {
      for (const key of records.keys()) if (key.startsWith("GNU.sparse.")) throw sparse();
    }
    if (raw.typeflag === "S") throw sparse();
    const name = pax("path") ?? this.#longName ?? raw.name;
    let type = TYPES[raw.typeflag];
    if (type === undefined) {
      // GNU's volume labels, dumped directories and multi-volume marks hold no file.
      if (!"VDMN".includes(raw.typeflag)) throw fail("INVALID", `invalid tar header: unknown type ${JSON.stringify(raw.typeflag)}`);
      this.#reset();
      return this.#skip(raw.size + padding(raw.size));
    }
    // Before ustar a slash made a directory.
    if (type === "file" && raw.typeflag === "\0" && name.endsWith("/")) type = "directory";
    const mtime = pax("mtime");
    const size = number("size", raw.size);
    const entry: TarEntry = {
      type,
      name,
      linkName: pax("linkpath") ?? this.#longLink ?? raw.linkName,
      mode: raw.mode,
      uid: id(number("uid", raw.uid)),
      gid: id(number("gid", raw.gid)),
      size: type === "file" ? size : 0,
      mtimeNs: mtime === undefined ? raw.mtimeNs : parseTime(mtime),
      major: number("SCHILY.devmajor", raw.major),
      minor: number("SCHILY.devminor", raw.minor),
      xattrs: this.#xattrs(),
    };
    this.#reset();
    this.#handler.entry(entry);
    if (type !== "file") return;
    this.#extendedSize = this.#left = size;
    this.#state = "content";
    if (size === 0) this.#contentEnded();
  }

  #xattrs(): readonly Xattr[] {
    if (this.#local.size === 0) return [];
    const xattrs: Xattr[] = [];
    for (const [key, value] of this.#local) {
      if (key.startsWith(XATTR_PREFIX)) xattrs.push({ name: key.slice(XATTR_PREFIX.length), value: Buffer.from(value, "latin1") });
    }
    return xattrs;
  }

  #reset(): void {
    if (this.#local.size > 0) this.#local = new Map();
    this.#longName = this.#longLink = null;
  }
}

const sparse = () => fail("INVALID", "tar archive has a file in GNU's sparse format, which is not supported: make it without --sparse");

function id(n: number): number {
  if (n < 0 || n > 0xfffffffe) throw fail("INVALID", `invalid tar header: owner ${n} is out of range`);
  return n;
}

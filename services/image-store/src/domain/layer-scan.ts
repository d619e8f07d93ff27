import { fail } from "@gantry/contracts";

const BLOCK = 512;
const MAX_PAX_BYTES = 1 << 20;

/**
 * Reads a tar that is pushed through it piece by piece, and adds up the bytes of its files, as Docker counts a layer's size.
 * ustar, pax (size records, GNU sparse 1.0) and GNU (base-256 numbers, long names, old sparse) are understood.
 * `push` throws INVALID where the bytes are no tar.
 */
export class LayerScan {
  #size = 0;
  #entries = 0;
  #header = new Uint8Array(BLOCK);
  #headerFill = 0;
  #skip = 0;
  #zeroBlocks = 0;
  #pax: Uint8Array | null = null;
  #paxFill = 0;
  #paxPadding = 0;
  #paxIsGlobal = false;
  #sparseExtension = false;
  #nextSize: number | null = null;
  #nextRealSize: number | null = null;
  #globalSize: number | null = null;

  /** Bytes of the files so far. */
  get size(): number {
    return this.#size;
  }

  get entries(): number {
    return this.#entries;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#zeroBlocks >= 2) return;
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        at += step;
      } else if (this.#pax !== null) {
        at += this.#fillPax(chunk, at);
      } else if (this.#headerFill === 0 && chunk.length - at >= BLOCK) {
        this.#block(chunk.subarray(at, at + BLOCK));
        at += BLOCK;
      } else {
        const step = Math.min(BLOCK - this.#headerFill, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + step), this.#headerFill);
        this.#headerFill += step;
        at += step;
        if (this.#headerFill === BLOCK) {
          this.#headerFill = 0;
          this.#block(this.#header);
        }
      }
    }
  }

  /** Throws INVALID where the tar breaks off. An end without the two empty blocks is accepted, as everybody does. */
  end(): void {
    if (this.#zeroBlocks >= 2) return;
    if (this.#skip > 0 || this.#pax !== null || this.#headerFill > 0 || this.#sparseExtension) throw fail("INVALID", "invalid tar: unexpected end of archive");
  }

  #block(block: Uint8Array): void {
    if (this.#sparseExtension) {
      this.#sparseExtension = block[504] !== 0;
      return;
    }
    if (isZero(block)) {
      this.#zeroBlocks++;
      return;
    }
    this.#zeroBlocks = 0;
    checkSum(block);
    const type = String.fromCharCode(block[156]!);
    const stated = readNumber(block, 124, 12);
    if (type === "x" || type === "g") {
      if (stated > MAX_PAX_BYTES) throw fail("TOO_LARGE", "invalid tar: pax header too large");
      this.#pax = new Uint8Array(stated);
      this.#paxFill = 0;
      this.#paxPadding = padding(stated);
      this.#paxIsGlobal = type === "g";
      if (stated === 0) this.#finishPax();
      return;
    }
    if (type === "L" || type === "K") {
      this.#skip = stated + padding(stated);
      return;
    }
    const size = this.#nextSize ?? this.#globalSize ?? stated;
    // Link and directory headers may state a size, and have no data: as archive readers take them.
    const hasData = !"123456".includes(type);
    const oldSparse = type === "S";
    if (oldSparse) this.#sparseExtension = block[482] !== 0;
    const real = this.#nextRealSize ?? (oldSparse ? readNumber(block, 483, 12) : size);
    this.#nextSize = null;
    this.#nextRealSize = null;
    this.#entries++;
    if (!hasData) return;
    this.#size += real;
    if (!Number.isSafeInteger(this.#size)) throw fail("INVALID", "invalid tar: sizes out of range");
    this.#skip = size + padding(size);
  }

  #fillPax(chunk: Uint8Array, at: number): number {
    const pax = this.#pax!;
    const step = Math.min(pax.length - this.#paxFill, chunk.length - at);
    pax.set(chunk.subarray(at, at + step), this.#paxFill);
    this.#paxFill += step;
    if (this.#paxFill === pax.length) this.#finishPax();
    return step;
  }

  #finishPax(): void {
    const records = readPax(this.#pax!);
    const size = numberOf(records.get("size"));
    if (this.#paxIsGlobal) {
      if (size !== null) this.#globalSize = size;
    } else {
      this.#nextSize = size;
      this.#nextRealSize = numberOf(records.get("GNU.sparse.realsize")) ?? numberOf(records.get("GNU.sparse.size"));
    }
    this.#pax = null;
    this.#skip = this.#paxPadding;
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function isZero(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

function checkSum(block: Uint8Array): void {
  let unsigned = 0, signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 32 : block[i]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const stated = readNumber(block, 148, 8);
  if (stated !== unsigned && stated !== signed) throw fail("INVALID", "invalid tar header");
}

/** Octal text, or GNU's base-256 for what does not fit. */
function readNumber(block: Uint8Array, at: number, length: number): number {
  if ((block[at]! & 0x80) !== 0) {
    let value = block[at]! & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + block[at + i]!;
    if (!Number.isSafeInteger(value)) throw fail("INVALID", "invalid tar header: number out of range");
    return value;
  }
  let text = "";
  for (let i = at; i < at + length && !(block[i] === 0 && text !== ""); i++) text += block[i] === 0 ? "" : String.fromCharCode(block[i]!);
  text = text.trim();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw fail("INVALID", "invalid tar header: not a number");
  return Number.parseInt(text, 8);
}

function readPax(data: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.length);
  for (let at = 0; at < buffer.length;) {
    const space = buffer.indexOf(32, at);
    const length = space < 0 ? NaN : Number(buffer.toString("latin1", at, space));
    if (!Number.isInteger(length) || length < 5 || at + length > buffer.length) throw fail("INVALID", "invalid tar: pax header");
    const record = buffer.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

function numberOf(text: string | undefined): number | null {
  if (text === undefined || text === "") return null;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw fail("INVALID", "invalid tar: pax header");
  return value;
}

import { fail } from "@gantry/contracts";

/** Of native/src/wire.h, where the format is described. */
export const WIRE_VERSION = 2;
export const MAX_FRAME = 16 << 20;

export const Kind = {
  start: 0x01, reap: 0x02, end: 0x03, ping: 0x04,
  watch: 0x11, attach: 0x12, kill: 0x13, pause: 0x14, resume: 0x15, resize: 0x16, exec: 0x17, pids: 0x18, update: 0x19, dns: 0x1a,
  execKill: 0x1b, execResize: 0x1c,
  listening: 0x81, started: 0x82, error: 0x83, exit: 0x84, ok: 0x85, pidsAre: 0x86, execExit: 0x87, fds: 0x88,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** Writes one frame. Strings must not contain a zero byte (INVALID). */
export class Writer {
  #buffer = Buffer.allocUnsafe(4096);
  #length = 5;
  readonly #kind: Kind;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > MAX_FRAME) throw fail("TOO_LARGE", `the container's description is longer than ${MAX_FRAME} bytes`);
    if (this.#length > this.#buffer.length) {
      const bigger = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(bigger, 0, 0, at);
      this.#buffer = bigger;
    }
    return at;
  }

  u8(v: number): this { this.#buffer.writeUInt8(v, this.#room(1)); return this; }
  bool(v: boolean): this { return this.u8(v ? 1 : 0); }
  u32(v: number): this { const at = this.#room(4); this.#buffer.writeUInt32LE(v, at); return this; }
  i32(v: number): this { const at = this.#room(4); this.#buffer.writeInt32LE(v, at); return this; }
  i64(v: number | bigint): this {
    const at = this.#room(8);
    this.#buffer.writeBigInt64LE(BigInt.asIntN(64, typeof v === "bigint" ? v : BigInt(Math.trunc(v))), at);
    return this;
  }

  str(v: string): this {
    if (v.includes("\0")) throw fail("INVALID", "a string has a zero byte in it");
    const length = Buffer.byteLength(v);
    this.u32(length);
    const at = this.#room(length + 1);
    this.#buffer.write(v, at);
    this.#buffer[at + length] = 0;
    return this;
  }

  maybe<T>(v: T | null, write: (v: T) => void): this {
    this.bool(v !== null);
    if (v !== null) write(v);
    return this;
  }

  list<T>(v: readonly T[], write: (v: T) => void): this {
    this.u32(v.length);
    v.forEach(write);
    return this;
  }

  strs(v: readonly string[]): this { return this.list(v, (s) => this.str(s)); }

  frame(): Buffer {
    this.#buffer.writeUInt32LE(this.#length - 4, 0);
    this.#buffer.writeUInt8(this.#kind, 4);
    return this.#buffer.subarray(0, this.#length);
  }
}

/** Reads the payload of one frame. */
export class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#buffer.length) throw fail("INTERNAL", "malformed message of a container's monitor");
    this.#at += bytes;
    return at;
  }

  u8(): number { return this.#buffer.readUInt8(this.#take(1)); }
  u32(): number { return this.#buffer.readUInt32LE(this.#take(4)); }
  i32(): number { return this.#buffer.readInt32LE(this.#take(4)); }
  i64(): bigint { return this.#buffer.readBigInt64LE(this.#take(8)); }
  str(): string {
    const length = this.u32();
    const at = this.#take(length + 1);
    return this.#buffer.toString("utf8", at, at + length);
  }
  list<T>(read: () => T): T[] {
    const count = this.u32();
    const out: T[] = [];
    for (let i = 0; i < count; i++) out.push(read());
    return out;
  }
}

export interface Frame { readonly kind: Kind; readonly reader: Reader }

/** Splits a byte stream into frames. */
export class FrameSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** Complete frames so far, in order. */
  push(chunk: Buffer): Frame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== null; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | null {
    if (this.#rest.length < 5) return null;
    const length = this.#rest.readUInt32LE(0);
    if (length === 0 || length > MAX_FRAME) throw fail("INTERNAL", "malformed message of a container's monitor");
    if (this.#rest.length < 4 + length) return null;
    const frame = { kind: this.#rest.readUInt8(4) as Kind, reader: new Reader(this.#rest.subarray(5, 4 + length)) };
    this.#rest = this.#rest.subarray(4 + length);
    return frame;
  }
}

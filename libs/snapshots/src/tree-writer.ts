import type { NativeFs, NativeTreeWriter } from "@gantry/runtime";

/** Kinds of operation; the format is that of native/addon/tree-writer.c. */
const KIND = { dir: 1, file: 2, data: 3, end: 4, symlink: 5, link: 6, node: 7, whiteout: 8, opaque: 9, xattr: 10, times: 11, remove: 12, copy: 13 } as const;
const FLAG_IMPLICIT = 1;
const FLAG_KEEP_KINDS = 2;
const HEAD = 48;

/** A batch goes to the pool when it has so many operations, or bytes of content. */
const BATCH_OPS = 1024;
const BATCH_BYTES = 1 << 20;

export interface Attributes { readonly mode: number; readonly uid: number; readonly gid: number; readonly mtimeNs: bigint }

/**
 * Writes files beneath a root, in the order given. Operations are gathered; one batch runs on libuv's pool while the next is
 * gathered. Paths are binary strings relative to the root, without `.` and `..`; empty is the root itself. After a failure
 * every further call throws the same error. Content must not be changed until the batch has run ({@link drain}).
 */
export class TreeWriter implements AsyncDisposable {
  readonly #native: NativeFs;
  readonly #writer: NativeTreeWriter;
  readonly #keepKinds: number;
  #ops = Buffer.allocUnsafe(64 * 1024);
  #fill = 0;
  #count = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #afterBatch: (() => void)[] = [];
  #running: Promise<void> = Promise.resolve();

  /** `keepKinds`: a directory never gives way to something else, nor the reverse (EISDIR, ENOTDIR). */
  constructor(native: NativeFs, rootFd: number, options: { keepKinds?: boolean } = {}) {
    this.#native = native;
    this.#writer = native.treeWriter(rootFd);
    this.#keepKinds = options.keepKinds === true ? FLAG_KEEP_KINDS : 0;
  }

  /** Whether {@link flush} is due. */
  get full(): boolean {
    return this.#count >= BATCH_OPS || this.#bytes >= BATCH_BYTES;
  }

  directory(path: string, a: Omit<Attributes, "mtimeNs">): void {
    this.#add(KIND.dir, path, "", { mode: a.mode, uid: a.uid, gid: a.gid });
  }

  /** A directory that only has to be there: what is there already stays as it is. */
  implicitDirectory(path: string, a: Omit<Attributes, "mtimeNs">): void {
    this.#add(KIND.dir, path, "", { flags: FLAG_IMPLICIT, mode: a.mode, uid: a.uid, gid: a.gid });
  }

  /** Then {@link data} of `size` bytes, or {@link copy}, and {@link endFile}. */
  beginFile(path: string, a: Attributes & { readonly size: number }): void {
    this.#add(KIND.file, path, "", { mode: a.mode, uid: a.uid, gid: a.gid, mtime: a.mtimeNs, size: a.size });
  }

  data(bytes: Buffer): void {
    this.#add(KIND.data, "", "", { a: this.#chunks.length, c: bytes.length });
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
  }

  /** The content of the file begun, from a descriptor; `done` is called when it is no longer used. */
  copy(fd: number, size: number, done: () => void): void {
    this.#add(KIND.copy, "", "", { a: fd });
    this.#afterBatch.push(done);
    this.#bytes += size;
  }

  endFile(): void {
    this.#add(KIND.end, "", "", {});
  }

  symlink(path: string, target: string, a: Omit<Attributes, "mode">): void {
    this.#add(KIND.symlink, path, target, { uid: a.uid, gid: a.gid, mtime: a.mtimeNs });
  }

  link(path: string, existing: string): void {
    this.#add(KIND.link, path, existing, {});
  }

  /** `mode` with the type: a device, a FIFO or a socket. */
  node(path: string, major: number, minor: number, a: Attributes): void {
    this.#add(KIND.node, path, "", { mode: a.mode, uid: a.uid, gid: a.gid, mtime: a.mtimeNs, a: major, b: minor });
  }

  whiteout(path: string): void {
    this.#add(KIND.whiteout, path, "", {});
  }

  opaque(path: string): void {
    this.#add(KIND.opaque, path, "", {});
  }

  xattr(path: string, name: string, value: Buffer): void {
    this.#add(KIND.xattr, path, name + value.toString("latin1"), { a: name.length });
  }

  times(path: string, mtimeNs: bigint): void {
    this.#add(KIND.times, path, "", { mtime: mtimeNs });
  }

  remove(path: string): void {
    this.#add(KIND.remove, path, "", {});
  }

  /** Waits for the batch before and starts the one gathered. */
  async flush(): Promise<void> {
    await this.#running;
    if (this.#count === 0) return;
    const after = this.#afterBatch;
    this.#running = this.#native.treeWrite(this.#writer, this.#ops.subarray(0, this.#fill), this.#chunks)
      .finally(() => { for (const done of after) done(); });
    // Thrown by the next flush or drain; until then it is not unhandled.
    this.#running.catch(() => {});
    this.#ops = Buffer.allocUnsafe(64 * 1024);
    this.#fill = this.#count = this.#bytes = 0;
    this.#chunks = [];
    this.#afterBatch = [];
  }

  /** Runs all that was gathered. */
  async drain(): Promise<void> {
    await this.flush();
    await this.#running;
  }

  /** Does not run what was gathered and not flushed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.catch(() => {});
    for (const done of this.#afterBatch) done();
    this.#native.treeWriterClose(this.#writer);
  }

  #add(kind: number, path: string, extra: string, f: {
    flags?: number; mode?: number; uid?: number; gid?: number; a?: number; b?: number; c?: number; mtime?: bigint; size?: number;
  }): void {
    const length = HEAD + path.length + extra.length;
    if (this.#fill + length > this.#ops.length) this.#grow(length);
    const ops = this.#ops;
    const at = this.#fill;
    ops[at] = kind;
    ops[at + 1] = (f.flags ?? 0) | this.#keepKinds;
    ops.writeUInt16LE(path.length, at + 2);
    ops.writeUInt32LE(extra.length, at + 4);
    ops.writeUInt32LE(f.mode ?? 0, at + 8);
    ops.writeUInt32LE(f.uid ?? 0, at + 12);
    ops.writeUInt32LE(f.gid ?? 0, at + 16);
    ops.writeUInt32LE(f.a ?? 0, at + 20);
    ops.writeUInt32LE(f.b ?? 0, at + 24);
    ops.writeUInt32LE(f.c ?? 0, at + 28);
    ops.writeBigInt64LE(f.mtime ?? 0n, at + 32);
    ops.writeUInt32LE((f.size ?? 0) % 2 ** 32, at + 40);
    ops.writeUInt32LE(Math.floor((f.size ?? 0) / 2 ** 32), at + 44);
    ops.write(path, at + HEAD, "latin1");
    if (extra.length > 0) ops.write(extra, at + HEAD + path.length, "latin1");
    this.#fill += length;
    this.#count++;
  }

  #grow(length: number): void {
    const more = Buffer.allocUnsafe(Math.max(this.#ops.length * 2, this.#fill + length));
    this.#ops.copy(more, 0, 0, this.#fill);
    this.#ops = more;
  }
}

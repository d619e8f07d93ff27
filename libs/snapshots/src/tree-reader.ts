import type { NativeFs } from "@gantry/runtime";
import type { Xattr } from "./tar/entry.ts";

const HEAD = 88;
const NOT_INLINED = 0xffffffff;
/** Holds the largest record: attributes (192 KiB), a file inlined, a path and a target. */
const BUFFER = 512 * 1024;
export const INLINE_MAX = 64 * 1024;

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_IFIFO = 0o010000;
export const S_IFSOCK = 0o140000;

/** A file as it stands on disk. Names are binary strings. */
export interface TreeEntry {
  /** Relative to the root of the walk, which is the empty path. */
  readonly path: string;
  /** Target of a symlink. */
  readonly target: string;
  /** With the type (`S_IFMT`). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly major: number;
  readonly minor: number;
  readonly mtimeNs: bigint;
  readonly size: number;
  readonly blocks: number;
  /** Device and inode: equal for names of the same file. */
  readonly file: string;
  readonly xattrs: readonly Xattr[];
  /** A small file's content, valid until the next entry is asked for; null: to be read by its path. */
  readonly content: Buffer | null;
}

/**
 * Every entry beneath a root, sorted by path component, parents first. `inlineMax`: the size up to which files come with their
 * content (at most INLINE_MAX). `only`: just this entry of the root.
 */
export async function* readTree(
  native: NativeFs, rootFd: number, options: { inlineMax?: number; xattrs?: boolean; only?: string } = {},
): AsyncGenerator<TreeEntry> {
  const only = Buffer.from(options.only ?? "", "latin1");
  const reader = native.treeReader(rootFd, options.inlineMax ?? 0, options.xattrs ?? true, only);
  let reading: Promise<number> | null = null;
  // One buffer is filled while the other is consumed.
  const buffers = [Buffer.allocUnsafeSlow(BUFFER), Buffer.allocUnsafeSlow(BUFFER)] as const;
  try {
    reading = native.treeRead(reader, buffers[0]);
    for (let turn = 0; ; turn ^= 1) {
      const length: number = await reading;
      reading = null;
      if (length === 0) return;
      reading = native.treeRead(reader, buffers[turn ^ 1]!);
      reading.catch(() => {});
      yield* decode(buffers[turn]!.subarray(0, length));
    }
  } finally {
    await reading?.catch(() => {});
    native.treeReaderClose(reader);
  }
}

function* decode(bytes: Buffer): Generator<TreeEntry> {
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
    const target = at + HEAD + bytes.readUInt16LE(at + 4);
    const xattrs = target + bytes.readUInt16LE(at + 6);
    const content = xattrs + bytes.readUInt32LE(at + 8);
    const inlined = bytes.readUInt32LE(at + 12);
    yield {
      path: bytes.toString("latin1", at + HEAD, target),
      target: target === xattrs ? "" : bytes.toString("latin1", target, xattrs),
      mode: bytes.readUInt32LE(at + 16),
      uid: bytes.readUInt32LE(at + 20),
      gid: bytes.readUInt32LE(at + 24),
      nlink: bytes.readUInt32LE(at + 28),
      major: bytes.readUInt32LE(at + 32),
      minor: bytes.readUInt32LE(at + 36),
      mtimeNs: bytes.readBigInt64LE(at + 40),
      size: Number(bytes.readBigUInt64LE(at + 48)),
      file: `${bytes.readBigUInt64LE(at + 64)}:${bytes.readBigUInt64LE(at + 56)}`,
      blocks: Number(bytes.readBigUInt64LE(at + 72)),
      xattrs: xattrs === content ? [] : decodeXattrs(bytes.subarray(xattrs, content)),
      content: inlined === NOT_INLINED ? null : bytes.subarray(content, content + inlined),
    };
  }
}

function decodeXattrs(bytes: Buffer): Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = 0; at < bytes.length;) {
    const name = at + 6;
    const value = name + bytes.readUInt16LE(at);
    const end = value + bytes.readUInt32LE(at + 2);
    xattrs.push({ name: bytes.toString("latin1", name, value), value: Buffer.from(bytes.subarray(value, end)) });
    at = end;
  }
  return xattrs.sort((a, b) => (a.name < b.name ? -1 : 1));
}

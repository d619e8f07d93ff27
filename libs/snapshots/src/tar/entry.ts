/**
 * One entry of a tar archive. Names, link targets and attribute names are *binary strings*: one character (0 to 255) for each
 * byte, because a file's name need not be UTF-8 (`Buffer.from(name, "latin1")` gives its bytes).
 */
export interface TarEntry {
  readonly type: TarType;
  readonly name: string;
  /** Target of a symlink, or the entry that a hard link is of; empty for others. */
  readonly linkName: string;
  /** Permission bits and set-ID and sticky bits, without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for all but files. */
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: bigint;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes (PAX `SCHILY.xattr.…`). */
  readonly xattrs: readonly Xattr[];
}

export type TarType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

export interface Xattr { readonly name: string; readonly value: Buffer }

export const BLOCK = 512;
export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

/** A binary string as text for a message. */
export const shown = (binary: string): string => JSON.stringify(Buffer.from(binary.slice(0, 300), "latin1").toString("utf8"));

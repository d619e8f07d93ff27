import type { NativeFs } from "@gantry/runtime";
import type { TarEntry, TarType } from "./tar/entry.ts";
import { TarBytes } from "./tar-stream.ts";
import { INLINE_MAX, readTree, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, type TreeEntry } from "./tree-reader.ts";

/** What becomes of an entry: the name it gets (a whiteout has no more than that), or null to leave it out. */
export type Naming = (entry: TreeEntry) => { name: string; whiteout?: boolean; opaque?: boolean } | null;

const TYPES = new Map<number, TarType>([
  [S_IFREG, "file"], [S_IFDIR, "directory"], [S_IFLNK, "symlink"], [S_IFCHR, "char"], [S_IFBLK, "block"], [S_IFIFO, "fifo"],
]);
/** Overlay's own attributes are not the file's. */
const PRIVATE_XATTR = /^trusted\.overlay\./;

/** A tree of files as a tar stream. Names of one file become hard links to the first; sockets are left out, as tar has none. */
export async function* packEntries(
  native: NativeFs, rootFd: number, naming: Naming, options: { only?: string; counting?: { bytes: number } } = {},
): AsyncGenerator<Buffer> {
  const { only, counting } = options;
  const bytes = new TarBytes();
  const links = new Map<string, { name: string; left: number }>();
  for await (const entry of readTree(native, rootFd, { inlineMax: INLINE_MAX, ...(only === undefined ? {} : { only }) })) {
    const named = naming(entry);
    if (named === null) continue;
    if (named.whiteout === true) {
      yield* bytes.entry(emptyFile(named.name), null);
      continue;
    }
    const type = TYPES.get(entry.mode & S_IFMT);
    if (type === undefined) continue;
    const first = type === "directory" || entry.nlink < 2 ? null : linkTo(links, entry, named.name);
    if (first !== null) {
      yield* bytes.entry(tarEntry(entry, "link", named.name, first), null);
      continue;
    }
    const tar = tarEntry(entry, type, named.name, entry.target);
    if (counting !== undefined) counting.bytes += tar.size;
    if (type === "file" && entry.content === null) yield* bytes.file(native, rootFd, only ?? entry.path, tar);
    else yield* bytes.entry(tar, type === "file" ? entry.content : null);
    if (named.opaque === true) yield* bytes.entry(emptyFile(`${named.name}/.wh..wh..opq`.replace(/^\.\//, "")), null);
  }
  yield* bytes.end();
}

/** The first name of the file, or null when this is it. */
function linkTo(links: Map<string, { name: string; left: number }>, entry: TreeEntry, name: string): string | null {
  const known = links.get(entry.file);
  if (known === undefined) {
    links.set(entry.file, { name, left: entry.nlink - 1 });
    return null;
  }
  // Forgotten with the last name, so that memory does not grow with the tree.
  if (--known.left === 0) links.delete(entry.file);
  return known.name;
}

function tarEntry(entry: TreeEntry, type: TarType, name: string, linkName: string): TarEntry {
  const device = type === "char" || type === "block";
  return {
    type, name, linkName,
    mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid,
    size: type === "file" ? entry.size : 0,
    mtimeNs: entry.mtimeNs,
    major: device ? entry.major : 0,
    minor: device ? entry.minor : 0,
    xattrs: type === "link" ? [] : entry.xattrs.filter((xattr) => !PRIVATE_XATTR.test(xattr.name)),
  };
}

const emptyFile = (name: string): TarEntry =>
  ({ type: "file", name, linkName: "", mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n, major: 0, minor: 0, xattrs: [] });

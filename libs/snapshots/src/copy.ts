import { closeSync, constants } from "node:fs";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { makeDirectories, resolveInRoot, Root } from "./in-root.ts";
import { bytesOf, joinPath, nameOf, parentOf, toBinary } from "./paths.ts";
import { INLINE_MAX, readTree, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type TreeEntry } from "./tree-reader.ts";
import { TreeWriter } from "./tree-writer.ts";

export interface CopyOptions {
  /** Where in `toDir` (a container's root then): links resolve in it. Default: `toDir` itself. Made where missing. */
  readonly toPath?: string;
  /** Name for a source that is no directory. Default: its own. */
  readonly name?: string;
  /** Owners instead of the source's. */
  readonly uid?: number;
  readonly gid?: number;
  /** Leave the destination directory's own mode, owner and time. Default false: it takes the source directory's. */
  readonly keepDest?: boolean;
  /** Only what is not there yet is copied. Default false: what is in the way gives way. */
  readonly filter?: (path: string) => boolean;
}

/** Contents of a copy under way: so many descriptors at most. */
const OPEN_MAX = 64;

/**
 * Copies what is in a directory at a container's path in `fromRoot` into a directory, or a file to a file in it, with owners,
 * modes, times (ns), attributes, hard links and holes. Contents of files are reflinked where the file system can. NO_SUCH_PATH
 * where there is no source. Answers bytes of content.
 */
export async function copyTree(
  native: NativeFs, fromRoot: string, fromPath: string, toDir: string, options: CopyOptions = {},
): Promise<{ entries: number; bytes: number }> {
  using from = new Root(native, fromRoot);
  using to = new Root(native, toDir);
  const source = resolveInRoot(from, toBinary(fromPath), { followLast: true });
  const mode = from.mode(source);
  if (mode === null) throw fail("NO_SUCH_PATH", `no such file or directory: ${fromPath}`);
  const dest = resolveInRoot(to, toBinary(options.toPath ?? ""), { followLast: true });
  makeDirectories(to, dest, { mode: 0o755, uid: options.uid ?? 0, gid: options.gid ?? 0 });
  const directory = (mode & S_IFMT) === S_IFDIR;
  const start = native.openat2Sync(from.fd, bytesOf(directory ? source || "." : parentOf(source) || "."), constants.O_RDONLY | constants.O_DIRECTORY, 0, "in-root");
  try {
    await using writer = new TreeWriter(native, to.fd);
    const copier = new Copier(native, writer, start, dest, options);
    const only = directory ? undefined : nameOf(source);
    for await (const entry of readTree(native, start, { inlineMax: INLINE_MAX, ...(only === undefined ? {} : { only }) })) {
      copier.copy(entry, only === undefined ? entry.path : toBinary(options.name ?? "") || only, only ?? entry.path);
      if (writer.full || copier.open >= OPEN_MAX) await writer.drain();
    }
    for (const [path, mtimeNs] of copier.directories) {
      writer.times(path, mtimeNs);
      if (writer.full) await writer.flush();
    }
    await writer.drain();
    return { entries: copier.entries, bytes: copier.bytes };
  } finally {
    closeSync(start);
  }
}

class Copier {
  readonly #native: NativeFs;
  readonly #writer: TreeWriter;
  readonly #from: number;
  readonly #dest: string;
  readonly #options: CopyOptions;
  readonly #links = new Map<string, { path: string; left: number }>();
  readonly directories = new Map<string, bigint>();
  open = 0;
  entries = 0;
  bytes = 0;

  constructor(native: NativeFs, writer: TreeWriter, from: number, dest: string, options: CopyOptions) {
    this.#native = native;
    this.#writer = writer;
    this.#from = from;
    this.#dest = dest;
    this.#options = options;
  }

  /** `path`: in the destination; `source`: beneath the descriptor copied from. */
  copy(entry: TreeEntry, path: string, source: string): void {
    if (path === "" && this.#options.keepDest === true) return;
    if (this.#options.filter?.(path) === false) return;
    this.entries++;
    const to = joinPath(this.#dest, path);
    const type = entry.mode & S_IFMT;
    const uid = this.#options.uid ?? entry.uid;
    const gid = this.#options.gid ?? entry.gid;
    const { mtimeNs } = entry;
    if (type === S_IFDIR) {
      this.#writer.directory(to, { mode: entry.mode & 0o7777, uid, gid });
      this.directories.set(to, mtimeNs);
    } else {
      const first = entry.nlink > 1 ? this.#linkTo(entry, to) : null;
      if (first !== null) return this.#writer.link(to, first);
      if (type === S_IFREG) {
        if (!this.#file(entry, to, source, { mode: entry.mode & 0o7777, uid, gid, mtimeNs })) return;
      } else if (type === S_IFLNK) this.#writer.symlink(to, entry.target, { uid, gid, mtimeNs });
      else this.#writer.node(to, entry.major, entry.minor, { mode: entry.mode, uid, gid, mtimeNs });
    }
    for (const { name, value } of entry.xattrs) if (!name.startsWith("trusted.overlay.")) this.#writer.xattr(to, name, value);
  }

  #file(entry: TreeEntry, to: string, source: string, a: { mode: number; uid: number; gid: number; mtimeNs: bigint }): boolean {
    this.bytes += entry.size;
    if (entry.content !== null) {
      this.#writer.beginFile(to, { ...a, size: entry.content.length });
      // The reader's buffer is used again before the writer has written.
      if (entry.content.length > 0) this.#writer.data(Buffer.from(entry.content));
    } else {
      const fd = this.#openSource(source);
      if (fd === null) return false;
      this.open++;
      this.#writer.beginFile(to, { ...a, size: entry.size });
      this.#writer.copy(fd, entry.size, () => {
        this.open--;
        closeSync(fd);
      });
    }
    this.#writer.endFile();
    return true;
  }

  /** null: gone since it was read. */
  #openSource(source: string): number | null {
    try {
      return this.#native.openat2Sync(this.#from, bytesOf(source), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0, "beneath");
    } catch (e) {
      if (errnoOf(e) === "ENOENT") return null;
      throw e;
    }
  }

  #linkTo(entry: TreeEntry, path: string): string | null {
    const known = this.#links.get(entry.file);
    if (known === undefined) {
      this.#links.set(entry.file, { path, left: entry.nlink - 1 });
      return null;
    }
    if (--known.left === 0) this.#links.delete(entry.file);
    return known.path;
  }
}

import { fail } from "@gantry/contracts";
import { errnoOf, GantryError } from "@gantry/kernel";
import { shown, type TarEntry } from "./tar/entry.ts";
import { TarParser, type TarHandler } from "./tar/parser.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO } from "./tree-reader.ts";
import type { TreeWriter } from "./tree-writer.ts";
import { cleanPath, parentOf } from "./paths.ts";

export interface DirectoryAttributes { readonly mode: number; readonly uid: number; readonly gid: number; readonly mtimeNs: bigint }

export interface UnpackOptions {
  /** Prefix of every path, relative to the writer's root and clean. */
  readonly prefix?: string;
  /** Owners instead of the archive's. */
  readonly uid?: number;
  readonly gid?: number;
  /** Of directories that the archive has entries in but no entry of. Otherwise 0755, the owner given or root, and the time of what is in it. */
  readonly implicit?: (path: string) => DirectoryAttributes | null;
  /** Takes an entry out of the stream when it answers true (a whiteout). `path` is clean, with the prefix. */
  readonly intercept?: (path: string, entry: TarEntry) => boolean;
  /** Bytes of content in all. TOO_LARGE beyond. */
  readonly maxBytes?: number;
  /** Entries in all. INVALID beyond. */
  readonly maxEntries?: number;
  /** Runs when all entries are given, before the times of directories are set. */
  readonly beforeTimes?: () => Promise<void>;
  /** Called with every chunk before it is unpacked, such as to hash it. */
  readonly seen?: (chunk: Buffer) => void;
}

export interface UnpackTotals { readonly entries: number; readonly bytes: number }

const MAX_ENTRIES = 4_000_000;
/** Memory for names of directories, whose times are set at the end. */
const MAX_DIRECTORY_NAMES = 256 * 1024 * 1024;
/** Parsed in one go, so that the event loop gets its turn. */
const SLICE = 256 * 1024;
/** Attributes of overlay itself would change what other layers show. */
const PRIVATE_XATTR = /^(?:trusted|user)\.overlay\./;

/**
 * Unpacks a tar stream beneath the writer's root, which is drained at the end. Entries, once given, stay beneath the root
 * whatever names and links say; a link out of it leads to nowhere. Directory times are set last. Errors of the archive are
 * INVALID.
 */
export async function unpack(writer: TreeWriter, tar: AsyncIterable<Uint8Array>, options: UnpackOptions = {}): Promise<UnpackTotals> {
  const unpacker = new Unpacker(writer, options);
  const parser = new TarParser(unpacker);
  try {
    for await (const piece of tar) {
      const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      for (let at = 0; at < chunk.length; at += SLICE) {
        const slice = chunk.subarray(at, at + SLICE);
        options.seen?.(slice);
        parser.push(slice);
        if (writer.full) await writer.flush();
      }
    }
    parser.finish();
    await options.beforeTimes?.();
    for (const [path, mtimeNs] of unpacker.directories) {
      writer.times(path, mtimeNs);
      if (writer.full) await writer.flush();
    }
    await writer.drain();
  } catch (e) {
    throw archiveError(e);
  }
  return { entries: unpacker.entries, bytes: unpacker.bytes };
}

class Unpacker implements TarHandler {
  readonly #writer: TreeWriter;
  readonly #options: UnpackOptions;
  readonly #known = new Set<string>([""]);
  #directoryNames = 0;
  #file: TarEntry | null = null;
  #path = "";
  /** Directories with an entry, and their times. */
  readonly directories = new Map<string, bigint>();
  entries = 0;
  bytes = 0;

  constructor(writer: TreeWriter, options: UnpackOptions) {
    this.#writer = writer;
    this.#options = options;
    if (options.prefix !== undefined && options.prefix !== "") this.#known.add(options.prefix);
  }

  entry(entry: TarEntry): void {
    if (++this.entries > (this.#options.maxEntries ?? MAX_ENTRIES)) throw fail("INVALID", "invalid archive: too many entries");
    this.bytes += entry.size;
    if (this.bytes > (this.#options.maxBytes ?? Number.MAX_SAFE_INTEGER)) {
      throw fail("TOO_LARGE", `archive is larger than the ${this.#options.maxBytes} bytes allowed`);
    }
    const path = this.#pathOf(entry.name);
    this.#file = null;
    if (this.#options.intercept?.(path, entry) === true) return;
    this.#parents(path, entry.mtimeNs);
    // Something else may take a directory's place, and with it that of all beneath.
    if (entry.type !== "directory") this.#forget(path);
    this.#write(path, entry);
  }

  data(chunk: Buffer): void {
    if (this.#file !== null) this.#writer.data(chunk);
  }

  end(): void {
    if (this.#file === null) return;
    this.#writer.endFile();
    this.#xattrs(this.#path, this.#file);
  }

  #write(path: string, entry: TarEntry): void {
    const uid = this.#options.uid ?? entry.uid;
    const gid = this.#options.gid ?? entry.gid;
    const { mode, mtimeNs } = entry;
    if (path === "" && entry.type !== "directory") throw fail("INVALID", `invalid archive: ${shown(entry.name)} would replace the root`);
    switch (entry.type) {
      case "directory":
        this.#writer.directory(path, { mode, uid, gid });
        this.#remember(path);
        this.directories.set(path, mtimeNs);
        break;
      case "file":
        this.#file = entry;
        this.#path = path;
        this.#writer.beginFile(path, { mode, uid, gid, mtimeNs, size: entry.size });
        return;
      case "symlink":
        if (entry.linkName === "" || entry.linkName.length > 4095) throw fail("INVALID", `invalid archive: symlink ${shown(entry.name)} has no target`);
        this.#writer.symlink(path, entry.linkName, { uid, gid, mtimeNs });
        break;
      case "link":
        this.#writer.link(path, this.#pathOf(entry.linkName));
        return;
      case "char": return this.#node(path, S_IFCHR, entry, uid, gid);
      case "block": return this.#node(path, S_IFBLK, entry, uid, gid);
      case "fifo": return this.#node(path, S_IFIFO, entry, uid, gid);
    }
    this.#xattrs(path, entry);
  }

  #node(path: string, type: number, entry: TarEntry, uid: number, gid: number): void {
    this.#writer.node(path, entry.major, entry.minor, { mode: type | entry.mode, uid, gid, mtimeNs: entry.mtimeNs });
    this.#xattrs(path, entry);
  }

  #xattrs(path: string, entry: TarEntry): void {
    for (const { name, value } of entry.xattrs) if (!PRIVATE_XATTR.test(name)) this.#writer.xattr(path, name, value);
  }

  #pathOf(name: string): string {
    const path = cleanPath(name);
    const prefix = this.#options.prefix ?? "";
    return prefix === "" ? path : path === "" ? prefix : `${prefix}/${path}`;
  }

  #parents(path: string, mtimeNs: bigint): void {
    const parent = parentOf(path);
    if (this.#known.has(parent)) return;
    this.#parents(parent, mtimeNs);
    const attributes = this.#options.implicit?.(parent) ?? { mode: 0o755, uid: this.#options.uid ?? 0, gid: this.#options.gid ?? 0, mtimeNs };
    this.#writer.implicitDirectory(parent, attributes);
    this.#remember(parent);
    if (this.#options.implicit !== undefined) this.directories.set(parent, attributes.mtimeNs);
  }

  #remember(path: string): void {
    if (this.#known.has(path)) return;
    this.#known.add(path);
    this.#directoryNames += path.length + 64;
    if (this.#directoryNames > MAX_DIRECTORY_NAMES) throw fail("INVALID", "invalid archive: too many directories");
  }

  #forget(path: string): void {
    if (!this.#known.has(path)) return;
    for (const known of this.#known) if (known === path || known.startsWith(`${path}/`)) this.#known.delete(known);
    for (const known of this.directories.keys()) if (known === path || known.startsWith(`${path}/`)) this.directories.delete(known);
    this.#known.add("");
  }
}

/** What the archive is to blame for, as the kernel says it. */
const ARCHIVE_ERRNO = new Set(["ELOOP", "EXDEV", "ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "EINVAL", "ENOTEMPTY", "EMLINK", "ERANGE"]);

function archiveError(e: unknown): unknown {
  if (e instanceof GantryError) return e;
  const code = errnoOf(e);
  if (code === null || (e as { syscall?: unknown }).syscall === undefined) return e;
  const { message } = e as Error;
  if (code === "ENOSPC" || code === "EDQUOT") return fail("INTERNAL", `no space left on device: ${message}`, { cause: e });
  return ARCHIVE_ERRNO.has(code) ? fail("INVALID", `invalid archive: ${message}`, { cause: e }) : fail("INTERNAL", `unpack: ${message}`, { cause: e });
}

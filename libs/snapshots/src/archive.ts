import { closeSync, constants } from "node:fs";
import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { makeDirectories, resolveInRoot, Root } from "./in-root.ts";
import { packEntries } from "./pack.ts";
import { bytesOf, joinPath, nameOf, parentOf, toBinary } from "./paths.ts";
import { S_IFDIR, S_IFMT } from "./tree-reader.ts";
import { TreeWriter } from "./tree-writer.ts";
import { unpack, type UnpackTotals } from "./unpack.ts";

export { copyTree, type CopyOptions } from "./copy.ts";
export { goFileMode, mkdirInRoot, statInRoot, type ContainerPathStat } from "./in-root.ts";

export interface PackOptions {
  /** Name of the top entry in the archive; those within are `name/…`. Default: the last component of the path. `.`: `./…`. */
  readonly name?: string;
  /** Follow a link that is the path itself. Default false; a path that ends in a slash always follows. */
  readonly followRoot?: boolean;
  /** Without the entry of the top directory itself: `docker export` begins with its contents. Names have no prefix then. */
  readonly contentsOnly?: boolean;
}

/**
 * A file or a tree as a tar stream. `path` is a container's path in `rootDir`: its links resolve in the root. The stream
 * fails with NO_SUCH_PATH where there is nothing.
 */
export function packTree(native: NativeFs, rootDir: string, path: string, options: PackOptions = {}): Readable {
  return Readable.from(pack(native, rootDir, path, options), { objectMode: false, highWaterMark: 1 << 20 });
}

async function* pack(native: NativeFs, rootDir: string, path: string, options: PackOptions): AsyncGenerator<Buffer> {
  using root = new Root(native, rootDir);
  const asked = toBinary(path);
  const followLast = options.followRoot === true || /\/\.?$/.test(path);
  const resolved = resolveInRoot(root, asked, { followLast });
  const mode = root.mode(resolved);
  if (mode === null) throw fail("NO_SUCH_PATH", `no such file or directory: ${path}`);
  const top = toBinary(options.name ?? "") || nameOf(asked.replace(/\/+$/, "")) || ".";
  const directory = (mode & S_IFMT) === S_IFDIR;
  const start = openDirectory(root, directory ? resolved : parentOf(resolved));
  try {
    yield* packEntries(native, start, (entry) => {
      if (options.contentsOnly === true) return entry.path === "" ? null : { name: entry.path };
      return { name: joinPath(top, entry.path) };
    }, directory ? {} : { only: nameOf(resolved) });
  } finally {
    closeSync(start);
  }
}

export interface UnpackTreeOptions {
  /** Owners instead of the archive's. */
  readonly uid?: number;
  readonly gid?: number;
  /** A directory does not give way to another kind of file, nor the reverse (`docker cp` without force): INVALID. */
  readonly noOverwriteDirNonDir?: boolean;
  /** Bytes of content in all; TOO_LARGE beyond. */
  readonly maxBytes?: number;
  /** Make the destination and its parents where they are missing; otherwise that is NO_SUCH_PATH. */
  readonly makeDest?: { readonly mode: number; readonly uid: number; readonly gid: number };
}

/** Unpacks an uncompressed tar stream into the directory at a container's path. All of it stays beneath `rootDir`. */
export async function unpackTree(
  native: NativeFs, rootDir: string, destPath: string, tar: AsyncIterable<Uint8Array>, options: UnpackTreeOptions = {},
): Promise<UnpackTotals> {
  using root = new Root(native, rootDir);
  const dest = resolveInRoot(root, toBinary(destPath), { followLast: true });
  if (options.makeDest !== undefined) makeDirectories(root, dest, options.makeDest);
  const mode = root.mode(dest);
  if (mode === null) throw fail("NO_SUCH_PATH", `no such directory: ${destPath}`);
  if ((mode & S_IFMT) !== S_IFDIR) throw fail("INVALID", `not a directory: ${destPath}`);
  // The writer's root stays the container's, so that absolute links in the tree lead to where they do inside.
  await using writer = new TreeWriter(native, root.fd, { keepKinds: options.noOverwriteDirNonDir === true });
  const unpacking = unpack(writer, tar, {
    prefix: dest,
    // The destination itself keeps its mode and owner, as with `docker cp` and ADD.
    intercept: (at, entry) => at === dest && entry.type === "directory",
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
  });
  return options.noOverwriteDirNonDir === true ? await unpacking.catch((e: unknown) => { throw inTheWay(e, destPath); }) : await unpacking;
}

/** Docker's words for what {@link UnpackTreeOptions.noOverwriteDirNonDir} refuses. */
function inTheWay(e: unknown, destPath: string): unknown {
  const cause = (e as { cause?: unknown }).cause;
  const code = errnoOf(cause);
  const at = JSON.stringify(`/${(cause as { path?: string } | undefined)?.path ?? ""}`);
  if (code === "EISDIR") return fail("INVALID", `cannot overwrite directory ${at} with non-directory ${JSON.stringify(destPath)}`, { cause });
  if (code === "ENOTDIR") return fail("INVALID", `cannot overwrite non-directory ${at} with directory ${JSON.stringify(destPath)}`, { cause });
  return e;
}

function openDirectory(root: Root, path: string): number {
  return root.native.openat2Sync(root.fd, path === "" ? "." : bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY, 0, "in-root");
}

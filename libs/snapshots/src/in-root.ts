import { closeSync, constants, openSync } from "node:fs";
import { fail } from "@gantry/contracts";
import { errnoOf, rfc3339Nano } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { bytesOf, joinPath, nameOf, parentOf, toBinary, toText } from "./paths.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "./tree-reader.ts";

export const O_PATH = 0o10000000;
/** As the kernel: so many links on one way. */
const LINKS_MAX = 40;

/** A root directory held open. */
export class Root implements Disposable {
  readonly native: NativeFs;
  readonly fd: number;

  constructor(native: NativeFs, path: string) {
    this.native = native;
    this.fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** A descriptor of what is at a clean path, null where nothing is. The last component is not followed; those before are. */
  look(path: string): number | null {
    try {
      return this.native.openat2Sync(this.fd, path === "" ? "." : bytesOf(path), O_PATH | constants.O_NOFOLLOW, 0, "in-root");
    } catch (e) {
      const code = errnoOf(e);
      if (code === "ENOENT" || code === "ENOTDIR") return null;
      if (code === "ELOOP" || code === "ENAMETOOLONG") throw fail("INVALID", `${toText(path)}: ${(e as Error).message}`, { cause: e });
      throw e;
    }
  }

  /** Mode with type of what is at a clean path, or null. */
  mode(path: string): number | null {
    const fd = this.look(path);
    if (fd === null) return null;
    try {
      return this.native.fstatatSync(fd, "").mode;
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/**
 * The path that a container's path leads to, every link resolved as in a process whose root this is: absolute links start at
 * the root and `..` ends there. Clean, relative, binary. What does not exist is taken as it stands. `followLast`: also a link that
 * is the last component. INVALID for a loop.
 */
export function resolveInRoot(root: Root, path: string, options: { followLast: boolean }): string {
  const todo = path.split("/").reverse();
  let at = "";
  let links = 0;
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at = parentOf(at);
      continue;
    }
    const next = joinPath(at, part);
    const last = !todo.some((rest) => rest !== "");
    const target = last && !options.followLast ? null : readLink(root, next);
    if (target === null) {
      at = next;
      continue;
    }
    if (++links > LINKS_MAX) throw fail("INVALID", `${toText(path)}: too many levels of symbolic links`);
    if (target.startsWith("/")) at = "";
    todo.push(...target.split("/").reverse());
  }
  return at;
}

function readLink(root: Root, path: string): string | null {
  const fd = root.look(path);
  if (fd === null) return null;
  try {
    if ((root.native.fstatatSync(fd, "").mode & S_IFMT) !== S_IFLNK) return null;
    // The descriptor is that of the link, and an empty name reads it.
    return root.native.readlinkatSync(fd, "", "latin1");
  } finally {
    closeSync(fd);
  }
}

/** Docker's `X-Docker-Container-Path-Stat`: `mode` is Go's os.FileMode, `mtime` RFC 3339, `linkTarget` a path in the container. */
export interface ContainerPathStat {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

/**
 * What is at a container's path; a link as the last component is told, not followed, unless the path ends in a slash. NO_SUCH_PATH
 * where there is nothing.
 */
export function statInRoot(native: NativeFs, rootDir: string, path: string): ContainerPathStat {
  using root = new Root(native, rootDir);
  const asked = toBinary(path);
  const directory = /\/\.?$/.test(path) || path === "";
  const resolved = resolveInRoot(root, asked, { followLast: directory });
  const fd = root.look(resolved);
  if (fd === null) throw fail("NO_SUCH_PATH", `no such file or directory: ${path}`);
  try {
    const stat = native.fstatatSync(fd, "");
    const type = stat.mode & S_IFMT;
    if (directory && type !== S_IFDIR) throw fail("INVALID", `not a directory: ${path}`);
    const name = toText(nameOf(asked.replace(/\/+$/, ""))) || "/";
    const linkTarget = type === S_IFLNK ? `/${toText(resolveInRoot(root, asked, { followLast: true }))}` : "";
    return { name, size: stat.size, mode: goFileMode(stat.mode), mtime: rfc3339Nano(stat.mtimeNs), linkTarget };
  } finally {
    closeSync(fd);
  }
}

const GO_TYPES = new Map([
  [S_IFREG, 0], [S_IFDIR, 2 ** 31], [S_IFLNK, 2 ** 27], [S_IFBLK, 2 ** 26], [S_IFCHR, 2 ** 26 + 2 ** 21], [S_IFIFO, 2 ** 25], [S_IFSOCK, 2 ** 24],
]);

/** Go's os.FileMode of a Unix mode. */
export function goFileMode(mode: number): number {
  const bit = (from: number, to: number): number => ((mode & from) === 0 ? 0 : 2 ** to);
  return (mode & 0o777) + (GO_TYPES.get(mode & S_IFMT) ?? 2 ** 19) + bit(0o4000, 23) + bit(0o2000, 22) + bit(0o1000, 20);
}

/**
 * Makes a directory and its parents at a container's path. Those that are there stay as they are; links are followed within
 * the root, also ones to what does not exist yet. Answers the resolved path. INVALID where something else is in the way.
 */
export function mkdirInRoot(
  native: NativeFs, rootDir: string, path: string, attributes: { mode: number; uid: number; gid: number },
): string {
  using root = new Root(native, rootDir);
  return toText(makeDirectories(root, resolveInRoot(root, toBinary(path), { followLast: true }), attributes));
}

/** `resolved` is clean and holds no links. */
export function makeDirectories(root: Root, resolved: string, a: { mode: number; uid: number; gid: number }): string {
  const mode = root.mode(resolved);
  if (mode !== null) {
    if ((mode & S_IFMT) !== S_IFDIR) throw fail("INVALID", `not a directory: /${toText(resolved)}`);
    return resolved;
  }
  makeDirectories(root, parentOf(resolved), a);
  const parent = root.look(parentOf(resolved));
  if (parent === null) throw fail("INVALID", `not a directory: /${toText(parentOf(resolved))}`);
  try {
    const name = bytesOf(nameOf(resolved));
    root.native.mkdiratSync(parent, name, a.mode);
    root.native.fchownatSync(parent, name, a.uid, a.gid);
    root.native.fchmodatSync(parent, name, a.mode);
  } catch (e) {
    if (errnoOf(e) !== "EEXIST") throw e;
  } finally {
    closeSync(parent);
  }
  return resolved;
}


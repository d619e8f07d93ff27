import { closeSync, constants, openSync } from "node:fs";
import { errnoOf } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { O_PATH } from "./in-root.ts";
import { bytesOf, parentOf } from "./paths.ts";
import { S_IFCHR, S_IFDIR, S_IFMT } from "./tree-reader.ts";
import type { DirectoryAttributes } from "./unpack.ts";

/** Directories whose layers are remembered. */
const MEMORY = 4096;

/** What a stack of layers shows, by overlay's rules, without mounting it. Paths are clean binary strings. */
export class LowerLayers implements Disposable {
  readonly #native: NativeFs;
  readonly #paths: readonly string[];
  #roots: number[] | null = null;
  readonly #merged = new Map<string, readonly number[]>();

  /** Absolute directories, the topmost layer first. */
  constructor(native: NativeFs, paths: readonly string[]) {
    this.#native = native;
    this.#paths = paths;
  }

  /** Attributes of the directory shown at a path; null where there is none. */
  directory(path: string): DirectoryAttributes | null {
    const top = this.#layersOf(path)[0];
    if (top === undefined) return null;
    const { mode, uid, gid, mtimeNs } = this.#stat(top, path)!;
    return { mode: mode & 0o7777, uid, gid, mtimeNs };
  }

  /** Whether anything is shown at a path. */
  has(path: string): boolean {
    for (const root of this.#layersOf(parentOf(path))) {
      const stat = this.#stat(root, path);
      if (stat !== null) return !isWhiteoutStat(stat);
    }
    return false;
  }

  /** The layers, topmost first, whose directories at the path are merged. */
  #layersOf(path: string): readonly number[] {
    const known = this.#merged.get(path);
    if (known !== undefined) return known;
    this.#roots ??= this.#paths.map((p) => openSync(p, constants.O_RDONLY | constants.O_DIRECTORY));
    const layers: number[] = [];
    for (const root of path === "" ? this.#roots : this.#layersOf(parentOf(path))) {
      const stat = this.#stat(root, path);
      if (stat === null) continue;
      if ((stat.mode & S_IFMT) !== S_IFDIR) break;
      layers.push(root);
      if (this.#opaque(root, path)) break;
    }
    if (this.#merged.size >= MEMORY) this.#merged.clear();
    this.#merged.set(path, layers);
    return layers;
  }

  #stat(root: number, path: string): ReturnType<NativeFs["fstatatSync"]> | null {
    let fd: number;
    try {
      fd = this.#native.openat2Sync(root, path === "" ? "." : bytesOf(path), O_PATH | constants.O_NOFOLLOW, 0, "beneath");
    } catch (e) {
      const code = errnoOf(e);
      if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "EXDEV") return null;
      throw e;
    }
    try {
      return this.#native.fstatatSync(fd, "");
    } finally {
      closeSync(fd);
    }
  }

  #opaque(root: number, path: string): boolean {
    try {
      return this.#native.getXattrSync(bytesOf(`/proc/self/fd/${root}/${path}`), "trusted.overlay.opaque").toString("latin1") === "y";
    } catch (e) {
      const code = errnoOf(e);
      if (code === "ENODATA" || code === "ENOTSUP" || code === "EOPNOTSUPP") return false;
      throw e;
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#roots ?? []) closeSync(fd);
    this.#roots = [];
    this.#merged.clear();
  }
}

const isWhiteoutStat = (stat: { mode: number; major: number; minor: number }): boolean =>
  (stat.mode & S_IFMT) === S_IFCHR && stat.major === 0 && stat.minor === 0;

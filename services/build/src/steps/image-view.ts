import { closeSync, constants, lstatSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { binary, joinPath, pathParts } from "../context/tree.ts";
import type { TargetStat, TargetView } from "../domain/copy-plan.ts";

const MAX_LINKS = 40;
const MAX_ACCOUNTS_FILE = 10 * 1024 * 1024;

/**
 * A mounted image that nobody changes meanwhile. Links are resolved here, part by part, and never lead out of the root:
 * what `resolve` answers has no link in it. Paths are binary strings.
 */
export class ImageView implements TargetView {
  readonly #native: NativeFs;
  readonly #root: string;

  constructor(native: NativeFs, root: string) {
    this.#native = native;
    this.#root = binary(root);
  }

  resolve(path: string): string {
    let rest = pathParts(path);
    const done: string[] = [];
    for (let links = 0; rest.length > 0;) {
      const part = rest.shift()!;
      if (part === "..") { done.pop(); continue; }
      const target = this.#link(`/${[...done, part].join("/")}`);
      if (target === null) { done.push(part); continue; }
      if (++links > MAX_LINKS) throw fail("BUILD_FAILED", `too many links in ${JSON.stringify(path)}`);
      if (target.startsWith("/")) done.length = 0;
      rest = [...target.split("/").filter((p) => p !== "" && p !== "."), ...rest];
    }
    return `/${done.join("/")}`;
  }

  #link(path: string): string | null {
    try {
      return readlinkSync(this.host(path), "latin1");
    } catch (e) {
      if (["EINVAL", "ENOENT", "ENOTDIR"].includes(errnoOf(e) ?? "")) return null;
      throw e;
    }
  }

  stat(path: string): TargetStat | null {
    try {
      const stat = lstatSync(this.host(path), { bigint: true });
      const directory = stat.isDirectory();
      return {
        type: directory ? "directory" : "other", mode: Number(stat.mode & 0o7777n), uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs,
        xattrs: directory ? this.#xattrs(path) : [],
      };
    } catch (e) {
      if (["ENOENT", "ENOTDIR"].includes(errnoOf(e) ?? "")) return null;
      throw e;
    }
  }

  #xattrs(path: string): TargetStat["xattrs"] {
    const host = this.host(path);
    return this.#native.listXattrSync(host).filter((name) => !name.startsWith("trusted.overlay.") && !name.startsWith("security.selinux"))
      .map((name) => ({ name, value: this.#native.getXattrSync(host, name) }));
  }

  /** Names in a directory (resolved). */
  list(path: string): string[] {
    return readdirSync(this.host(path), "latin1").sort();
  }

  /** A small text file; null where there is none. */
  text(path: string): string | null {
    let fd: number;
    try {
      fd = openSync(this.host(this.resolve(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (e) {
      if (["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(errnoOf(e) ?? "")) return null;
      throw e;
    }
    try {
      const buffer = Buffer.from(readFileSync(fd));
      if (buffer.length > MAX_ACCOUNTS_FILE) throw fail("TOO_LARGE", `${path} of the image is too large`);
      return buffer.toString("utf8");
    } catch (e) {
      if (errnoOf(e) === "EISDIR") return null;
      throw e;
    } finally {
      closeSync(fd);
    }
  }

  /** The path on the host of a resolved path. */
  host(path: string): Buffer {
    return Buffer.from(joinPath(this.#root, path.slice(1)), "latin1");
  }
}

import { closeSync, constants, createReadStream, openSync } from "node:fs";
import { createHash, hash } from "node:crypto";
import { fail } from "@gantry/contracts";
import { BadPattern, hasWildcards, pathMatcher } from "@gantry/dockerfile";
import type { NativeFs } from "@gantry/runtime";
import { readTree, type TarType, type TreeEntry } from "@gantry/snapshots";
import type { SourceEntry } from "../context/tar-scan.ts";
import { binary, type ContentReader, pathParts, readable, type SourceNode, SourceTree } from "../context/tree.ts";
import type { CopySource } from "../domain/copy-sources.ts";
import type { ImageView } from "./image-view.ts";

const INLINE = 64 * 1024;
const S_IFMT = 0o170000;
const TYPES: Readonly<Record<number, TarType>> = {
  0o040000: "directory", 0o100000: "file", 0o120000: "symlink", 0o020000: "char", 0o060000: "block", 0o010000: "fifo",
};

/** Files of another image as the sources of `COPY --from`. */
export class ImageSource implements ContentReader {
  readonly #native: NativeFs;
  readonly #view: ImageView;
  /** Host path of each file taken. */
  readonly #paths = new Map<SourceNode, Buffer>();

  constructor(native: NativeFs, view: ImageView) {
    this.#native = native;
    this.#view = view;
  }

  /** What the patterns name, read and hashed. Errors as for the build context, in Docker's words. */
  async select(patterns: readonly string[]): Promise<CopySource[]> {
    const paths = patterns.flatMap((pattern) => this.#match(pattern));
    if (paths.length === 0) throw fail("BUILD_FAILED", "COPY failed: no source files were specified");
    const sources: CopySource[] = [];
    for (const path of paths) {
      const resolved = this.#view.resolve(path);
      const stat = this.#view.stat(resolved);
      if (stat === null) throw fail("BUILD_FAILED", `COPY failed: stat ${readable(path.slice(1))}: file does not exist`);
      sources.push({ node: await this.#load(resolved, stat.type === "directory"), name: path.slice(path.lastIndexOf("/") + 1), content: this });
    }
    return sources;
  }

  #match(pattern: string): string[] {
    const parts = pathParts(binary(pattern));
    if (!hasWildcards(pattern)) return [`/${parts.join("/")}`];
    let level = [""];
    try {
      for (const part of parts) {
        const matches = pathMatcher(readable(part));
        level = level.flatMap((path) => {
          const at = this.#view.resolve(path);
          if (this.#view.stat(at)?.type !== "directory") return [];
          return this.#view.list(at).filter((name) => matches(readable(name))).map((name) => `${path}/${name}`);
        });
      }
    } catch (cause) {
      if (cause instanceof BadPattern) throw fail("BUILD_FAILED", `COPY failed: ${cause.message}`, { cause });
      throw cause;
    }
    return level;
  }

  async #load(path: string, directory: boolean): Promise<SourceNode> {
    const slash = path.lastIndexOf("/");
    const base = directory ? path : path.slice(0, slash) || "/";
    const only = directory ? undefined : path.slice(slash + 1);
    const tree = new SourceTree();
    const root = openSync(this.#view.host(base), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      for await (const entry of readTree(this.#native, root, { inlineMax: INLINE, ...(only === undefined ? {} : { only }) })) {
        const type = TYPES[entry.mode & S_IFMT];
        const name = only ?? entry.path;
        // Sockets are nothing that can be copied.
        if (type !== undefined) tree.add(sourceEntry(entry, name, type, await this.#digest(base, name, entry, type)));
      }
    } finally {
      closeSync(root);
    }
    const node = only === undefined ? tree.root : tree.root.children.get(only)!;
    this.#remember(node, base);
    return node;
  }

  #remember(node: SourceNode, base: string): void {
    if (node.entry.type === "file") this.#paths.set(node, this.#view.host(absolute(base, node.path)));
    for (const child of node.children.values()) this.#remember(child, base);
  }

  async #digest(base: string, name: string, entry: TreeEntry, type: TarType): Promise<string> {
    if (type !== "file" || entry.size === 0) return "";
    if (entry.content !== null) return hash("sha256", entry.content, "hex");
    const sum = createHash("sha256");
    for await (const chunk of createReadStream(this.#view.host(absolute(base, name)), { highWaterMark: 512 * 1024 })) sum.update(chunk as Buffer);
    return sum.digest("hex");
  }

  async *read(node: SourceNode): AsyncGenerator<Buffer> {
    if (node.entry.size === 0) return;
    const path = this.#paths.get(node);
    if (path === undefined) throw new Error(`${node.path} is no file of this image`);
    yield* createReadStream(path, { highWaterMark: 512 * 1024 }) as AsyncIterable<Buffer>;
  }
}

const absolute = (base: string, path: string): string => (base === "/" ? `/${path}` : `${base}/${path}`);

function sourceEntry(entry: TreeEntry, name: string, type: TarType, sha256: string): SourceEntry {
  return {
    type, name, linkName: entry.target, mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid,
    size: type === "file" ? entry.size : 0, mtimeNs: entry.mtimeNs, major: entry.major, minor: entry.minor,
    xattrs: entry.xattrs.filter(({ name }) => !name.startsWith("trusted.overlay.")),
    sha256, offset: 0, inode: type === "file" && entry.nlink > 1 ? entry.file : "",
  };
}

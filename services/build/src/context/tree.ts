import { fail } from "@gantry/contracts";
import { hash } from "node:crypto";
import type { SourceEntry } from "./tar-scan.ts";

/** A file or directory of a copy's source. */
export interface SourceNode {
  /** Relative to the root of the source, without slashes at its ends; empty for the root. A binary string. */
  readonly path: string;
  readonly entry: SourceEntry;
  /** Of a directory, by name. */
  readonly children: ReadonlyMap<string, SourceNode>;
}

/** Gives the content of a source's file: exactly its size. */
export interface ContentReader {
  read(node: SourceNode): AsyncIterable<Buffer>;
}

interface MutableNode { path: string; entry: SourceEntry; children: Map<string, MutableNode> }

const MAX_ENTRIES = 2_000_000;
const MAX_DEPTH = 512;
const MAX_LINKS = 40;

export const binary = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
export const readable = (name: string): string => Buffer.from(name, "latin1").toString("utf8");

const directory = (name: string): SourceEntry => ({
  name, type: "directory", mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n, size: 0, linkName: "", major: 0, minor: 0, xattrs: [], sha256: "", offset: 0, inode: "",
});

/**
 * The entries of a tar as a tree. Nothing is unpacked: names are only keys here, so `..` and absolute names reach nothing
 * (they are taken as beneath the root). A later entry replaces an earlier one of the same name.
 */
export class SourceTree {
  readonly #root: MutableNode = { path: "", entry: directory(""), children: new Map() };
  #entries = 0;

  get root(): SourceNode {
    return this.#root;
  }

  get size(): number {
    return this.#entries;
  }

  add(entry: SourceEntry): void {
    if (++this.#entries > MAX_ENTRIES) throw fail("TOO_LARGE", `the build context has more than ${MAX_ENTRIES} entries`);
    const parts = pathParts(entry.name);
    if (parts.length > MAX_DEPTH) throw fail("INVALID", `the build context has a path that is too deep: ${readable(entry.name.slice(0, 200))}…`);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.type === "directory") this.#root.entry = entry;
      return;
    }
    let parent = this.#root;
    for (const part of parts) {
      let child = parent.children.get(part);
      if (child === undefined || child.entry.type !== "directory") {
        const path = joinPath(parent.path, part);
        child = { path, entry: directory(path), children: new Map() };
        parent.children.set(part, child);
      }
      parent = child;
    }
    const before = parent.children.get(name);
    if (before !== undefined && before.entry.type === "directory" && entry.type === "directory") {
      before.entry = entry;
      return;
    }
    parent.children.set(name, { path: joinPath(parent.path, name), entry: entry.type === "link" ? this.#linked(entry) : entry, children: new Map() });
  }

  /** The file that a hard link is of, under another name. */
  #linked(entry: SourceEntry): SourceEntry {
    const target = this.#lookup(entry.linkName);
    if (target === null || target.entry.type === "directory") {
      throw fail("INVALID", `the build context has a hard link to nothing: ${readable(entry.name)} -> ${readable(entry.linkName)}`);
    }
    if (target.entry.inode === "") target.entry = { ...target.entry, inode: target.path };
    return { ...target.entry, name: entry.name };
  }

  #lookup(path: string): MutableNode | null {
    let node: MutableNode | undefined = this.#root;
    for (const part of pathParts(path)) {
      node = node.children.get(part);
      if (node === undefined) return null;
    }
    return node;
  }
}

/** The tree without these paths (binary strings); the tree itself stays as it is. */
export function without(root: SourceNode, paths: readonly string[]): SourceNode {
  return paths.reduce((node, path) => withoutParts(node, pathParts(path)), root);
}

function withoutParts(node: SourceNode, [name, ...rest]: readonly string[]): SourceNode {
  const child = name === undefined ? undefined : node.children.get(name);
  if (name === undefined || child === undefined) return node;
  const children = new Map(node.children);
  if (rest.length === 0) children.delete(name);
  else children.set(name, withoutParts(child, rest));
  return { ...node, children };
}

/** Follows symbolic links, all beneath the root. null: not there. `path` is a binary string. */
export function resolveNode(root: SourceNode, path: string): SourceNode | null {
  let rest = pathParts(path);
  const stack: SourceNode[] = [root];
  for (let links = 0; rest.length > 0;) {
    const part = rest.shift()!;
    if (part === "..") { if (stack.length > 1) stack.pop(); continue; }
    const child = stack.at(-1)!.children.get(part);
    if (child === undefined) return null;
    if (child.entry.type !== "symlink") { stack.push(child); continue; }
    if (++links > MAX_LINKS) return null;
    if (child.entry.linkName.startsWith("/")) stack.length = 1;
    rest = [...rawParts(child.entry.linkName), ...rest];
  }
  return stack.at(-1)!;
}

const rawParts = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

/** The parts of a path beneath the root; `..` goes up, never out. */
export function pathParts(path: string): string[] {
  const parts: string[] = [];
  for (const part of rawParts(path)) {
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts;
}

export const joinPath = (parent: string, name: string): string => (parent === "" ? name : `${parent}/${name}`);
export const sortedNames = (node: SourceNode): string[] => [...node.children.keys()].sort();

const digests = new WeakMap<SourceNode, string>();

/** {@link contentDigest} of all of a node; asked for again, it is remembered. */
export function wholeDigest(node: SourceNode): string {
  const known = digests.get(node) ?? contentDigest(node, () => true);
  digests.set(node, known);
  return known;
}

/**
 * Digest of what a copy takes: type, mode, size, link, device, extended attributes and content of each entry, and for
 * directories the names beneath. Times and owners are left out: the copy sets the owners, and Docker's cache has no times either.
 * `include` gets the path beneath the node. The entries' own digests must be known.
 */
export function contentDigest(node: SourceNode, include: (relative: string) => boolean): string {
  const rows: string[] = [];
  const add = (relative: string, entry: SourceEntry): void => {
    const xattrs = entry.xattrs.map(({ name, value }) => [name, value.toString("base64")]).sort();
    rows.push(JSON.stringify([relative, entry.type, entry.mode, entry.size, entry.linkName, entry.major, entry.minor, entry.sha256, xattrs]));
  };
  const visit = (parent: SourceNode, prefix: string): void => {
    for (const name of sortedNames(parent)) {
      const child = parent.children.get(name)!;
      const relative = joinPath(prefix, name);
      if (include(relative)) add(relative, child.entry);
      visit(child, relative);
    }
  };
  if (node.entry.type === "directory") visit(node, "");
  else add("", node.entry);
  return hash("sha256", rows.join("\n"), "hex");
}

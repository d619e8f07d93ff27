import { fail } from "@gantry/contracts";
import { posix } from "node:path";
import type { SourceEntry } from "../context/tar-scan.ts";
import { joinPath, readable, sortedNames, type ContentReader, type SourceNode } from "../context/tree.ts";
import type { CopySource } from "./copy-sources.ts";

export interface Owner { readonly uid: number; readonly gid: number }

/** What is at a path of the image, links resolved. */
export interface TargetStat extends Owner {
  readonly type: "directory" | "other";
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly xattrs: SourceEntry["xattrs"];
}

/** The image as it is before the copy. Paths are binary strings, absolute. */
export interface TargetView {
  /** Follows all links within the root, the last one too. The path need not exist. */
  resolve(path: string): string;
  /** Of a resolved path; null where there is nothing. */
  stat(path: string): TargetStat | null;
}

/** An entry of the layer that the copy makes. `source` is where its content comes from; null for directories made on the way. */
export interface PlannedEntry {
  /** Without a leading slash. A binary string. */
  readonly path: string;
  readonly type: SourceEntry["type"];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly size: number;
  readonly linkName: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: SourceEntry["xattrs"];
  readonly source: SourceNode | null;
  readonly content: ContentReader | null;
}

export interface CopyPlanOptions {
  /** COPY or ADD, for messages. */
  readonly instruction: string;
  /** As written, expanded; a binary string. */
  readonly destination: string;
  readonly workdir: string;
  /** null: not given: root, and for an extracted archive what stands there. */
  readonly owner: Owner | null;
  /** Permission bits for all that is copied; null: as in the source. */
  readonly mode: number | null;
  /** Of directories made on the way. */
  readonly nowNs: bigint;
  /** Paths beneath a copied directory that are taken. */
  readonly include: (relative: string) => boolean;
}

/**
 * Docker's rules of where copies go. A directory gives its contents. Several sources, or a destination with a slash at its end,
 * need a directory. A file goes under its own name into an existing directory. Directories made on the way get the owner
 * of the copy; existing ones stay as they are. Directories come before what is in them.
 */
export function planCopy(sources: readonly CopySource[], view: TargetView, options: CopyPlanOptions): PlannedEntry[] {
  const { instruction, destination, workdir } = options;
  const slash = destination.endsWith("/") || destination === "." || destination.endsWith("/.");
  if (sources.length > 1 && !slash) {
    throw fail("BUILD_FAILED", `When using ${instruction} with more than one source file, the destination must be a directory and end with a /`);
  }
  const written = posix.resolve("/", workdir, destination);
  const resolved = view.resolve(written);
  const at = view.stat(resolved);
  const plan = new Plan(view, options);
  for (const source of sources) {
    plan.begin();
    if (source.node.entry.type === "directory") {
      if (at !== null && at.type !== "directory") throw notDirectory(written, "failed to copy directory");
      plan.directory(resolved);
      plan.contents(source, resolved);
    } else if (slash || at?.type === "directory") {
      if (at !== null && at.type !== "directory") throw notDirectory(written, "failed to create new directory");
      plan.file(source, joinPath(resolved === "/" ? "" : resolved, source.name));
    } else plan.file(source, resolved);
  }
  return plan.entries();
}

/** WORKDIR: the directories that are missing, with those above them; empty where it is there. */
export function planDirectory(path: string, view: TargetView, nowNs: bigint): PlannedEntry[] {
  const resolved = view.resolve(path);
  const at = view.stat(resolved);
  if (at?.type === "directory") return [];
  if (at !== null) throw fail("BUILD_FAILED", `Cannot mkdir: ${readable(path)} is not a directory`);
  const plan = new Plan(view, { instruction: "WORKDIR", destination: path, workdir: "/", owner: null, mode: null, nowNs, include: () => true });
  plan.directory(resolved);
  return plan.entries();
}

const notDirectory = (path: string, doing: string) => fail("BUILD_FAILED", `failed to copy files: ${doing}: mkdir ${readable(path)}: not a directory`);

/** Would change what the layers below show. */
const OVERLAY_XATTR = /^(?:trusted|user)\.overlay\./;

class Plan {
  readonly #view: TargetView;
  readonly #options: CopyPlanOptions;
  readonly #entries = new Map<string, PlannedEntry>();
  /** First path of each file with several names, within one source. */
  #linked = new Map<string, string>();

  constructor(view: TargetView, options: CopyPlanOptions) {
    this.#view = view;
    this.#options = options;
  }

  /** Another source begins. */
  begin(): void {
    this.#linked = new Map();
  }

  /** Directories by path, then files in the order of their content's places, so that an archive is read from front to back; links last. */
  entries(): PlannedEntry[] {
    const readers = new Map<ContentReader | null, number>();
    const keyed = [...this.#entries.values()].map((entry) => ({
      entry, path: entry.path.replaceAll("/", "\0"), rank: entry.type === "directory" ? 0 : entry.type === "link" ? 2 : 1,
      reader: readers.getOrInsertComputed(entry.content, () => readers.size), offset: entry.type === "file" ? entry.source!.entry.offset : 0,
    }));
    keyed.sort((a, b) => a.rank - b.rank || (a.rank === 1 ? a.reader - b.reader || a.offset - b.offset : 0) || (a.path < b.path ? -1 : 1));
    return keyed.map(({ entry }) => entry);
  }

  /** Makes sure that `path` (absolute, resolved) and all above it are directories of the layer. */
  directory(path: string): void {
    const relative = path.slice(1);
    if (relative === "" || this.#entries.get(relative)?.type === "directory") return;
    this.directory(posix.dirname(path));
    const there = this.#view.stat(path);
    if (there !== null && there.type !== "directory") throw notDirectory(path, "failed to create new directory");
    const { owner, nowNs } = this.#options;
    this.#entries.set(relative, {
      path: relative, type: "directory", size: 0, linkName: "", major: 0, minor: 0, source: null, content: null, xattrs: there?.xattrs ?? [],
      mode: there?.mode ?? 0o755, uid: there?.uid ?? owner?.uid ?? 0, gid: there?.gid ?? owner?.gid ?? 0, mtimeNs: there?.mtimeNs ?? nowNs,
    });
  }

  file(source: CopySource, path: string): void {
    const absolute = path.startsWith("/") ? path : `/${path}`;
    this.directory(posix.dirname(absolute));
    this.#take(source, source.node, absolute.slice(1));
  }

  contents(source: CopySource, target: string): void {
    const base = target === "/" ? "" : target.slice(1);
    const visit = (parent: SourceNode, prefix: string): void => {
      for (const name of sortedNames(parent)) {
        const child = parent.children.get(name)!;
        const relative = joinPath(prefix, name);
        if (this.#options.include(relative)) {
          if (prefix !== "") this.#parents(source, base, prefix);
          this.#take(source, child, joinPath(base, relative));
        }
        visit(child, relative);
      }
    };
    visit(source.node, "");
  }

  /** The directories above something taken, where they were left out themselves. */
  #parents(source: CopySource, base: string, prefix: string): void {
    let { node } = source;
    let path = base;
    for (const part of prefix.split("/")) {
      node = node.children.get(part)!;
      path = joinPath(path, part);
      if (!this.#entries.has(path)) this.#take(source, node, path);
    }
  }

  #take({ content, asIs }: CopySource, node: SourceNode, path: string): void {
    const { owner, mode, instruction } = this.#options;
    const { entry } = node;
    if (path.slice(path.lastIndexOf("/") + 1).startsWith(".wh.")) {
      throw fail("BUILD_FAILED", `${instruction} failed: ${readable(path)}: names that begin with .wh. mark deleted files in layers and cannot be copied`);
    }
    const before = this.#entries.get(path);
    if (before?.type === "directory" && entry.type !== "directory") this.#drop(path);
    const first = entry.inode === "" || entry.type !== "file" ? undefined : this.#linked.get(entry.inode);
    if (first === undefined && entry.inode !== "" && entry.type === "file") this.#linked.set(entry.inode, path);
    const link = first !== undefined && first !== path && this.#entries.get(first)?.type === "file";
    this.#entries.set(path, {
      path, type: link ? "link" : entry.type, size: link ? 0 : entry.size, linkName: link ? first : entry.linkName,
      major: entry.major, minor: entry.minor, xattrs: link ? [] : entry.xattrs.filter(({ name }) => !OVERLAY_XATTR.test(name)), source: node, content, mtimeNs: entry.mtimeNs,
      mode: asIs === true ? entry.mode : mode ?? entry.mode,
      uid: owner?.uid ?? (asIs === true ? entry.uid : 0), gid: owner?.gid ?? (asIs === true ? entry.gid : 0),
    });
  }

  /** A file comes in place of a directory that an earlier source brought. */
  #drop(path: string): void {
    for (const key of this.#entries.keys()) if (key === path || key.startsWith(`${path}/`)) this.#entries.delete(key);
  }
}

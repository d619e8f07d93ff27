import { fail } from "@gantry/contracts";
import { BadPattern, hasWildcards, pathMatcher } from "@gantry/dockerfile";
import { digestOf } from "@gantry/oci";
import { binary, contentDigest, pathParts, readable, resolveNode, sortedNames, type ContentReader, type SourceNode, wholeDigest } from "../context/tree.ts";

/** Something to copy, and the name it gets in a directory: that of the path as it was written or found, also where it is a link. */
export interface CopySource {
  readonly node: SourceNode;
  readonly name: string;
  readonly content: ContentReader;
  /** The source's owners and modes stay: an archive that ADD extracts. */
  readonly asIs?: boolean;
}

export interface SelectOptions {
  /** COPY or ADD, for messages. */
  readonly instruction: string;
  readonly content: ContentReader;
}

/** What the sources of a COPY or ADD name in the build context, in Docker's order and with its errors. */
export function selectSources(root: SourceNode, patterns: readonly string[], options: SelectOptions): CopySource[] {
  const found = patterns.flatMap((pattern) => selectOne(root, pattern, options));
  if (found.length === 0) throw fail("BUILD_FAILED", `${options.instruction} failed: no source files were specified`);
  return found;
}

function selectOne(root: SourceNode, pattern: string, { instruction, content }: SelectOptions): CopySource[] {
  const parts = pattern.split("/").filter((part) => part !== "" && part !== ".");
  let depth = 0;
  for (const part of parts) {
    depth += part === ".." ? -1 : 1;
    if (depth < 0) throw fail("BUILD_FAILED", `${instruction} failed: forbidden path outside the build context: ${pattern} ()`);
  }
  if (hasWildcards(pattern)) return matching(root, parts, instruction, pattern).map((source) => ({ ...source, content }));
  const path = pathParts(binary(pattern));
  const node = resolveNode(root, path.join("/"));
  if (node === null) {
    const shown = readable(path.join("/"));
    throw fail("BUILD_FAILED", `${instruction} failed: file not found in build context or excluded by .dockerignore: stat ${shown}: file does not exist`);
  }
  return [{ node, name: path.at(-1) ?? "", content }];
}

/** Matches part by part, since `*` stops at slashes: only directories that match so far are looked into. */
function matching(root: SourceNode, parts: readonly string[], instruction: string, pattern: string): Omit<CopySource, "content">[] {
  let level: { node: SourceNode; path: string }[] = [{ node: root, path: "" }];
  try {
    for (const part of parts) {
      const matches = pathMatcher(part);
      level = level.flatMap(({ node, path }) => sortedNames(node).filter((name) => matches(readable(name)))
        .map((name) => ({ node: node.children.get(name)!, path: path === "" ? name : `${path}/${name}` })));
    }
  } catch (cause) {
    if (cause instanceof BadPattern) throw fail("BUILD_FAILED", `${instruction} failed: ${cause.message}`, { cause });
    throw cause;
  }
  return level.map(({ node, path }) => {
    const resolved = resolveNode(root, path);
    if (resolved === null) throw fail("BUILD_FAILED", `${instruction} failed: stat ${readable(path)}: file does not exist (from ${pattern})`);
    return { node: node.entry.type === "symlink" ? resolved : node, name: path.slice(path.lastIndexOf("/") + 1) };
  });
}

/** `dir:<hex>`, `file:<hex>` or `multi:<hex>`, as in the history. `include` null: all of it. */
export function sourcesHash(sources: readonly CopySource[], include: ((relative: string) => boolean) | null): string {
  const digest = (node: SourceNode): string => (include === null ? wholeDigest(node) : contentDigest(node, include));
  const hashes = sources.map(({ node }) => `${node.entry.type === "directory" ? "dir" : "file"}:${digest(node)}`);
  return combineHashes(hashes);
}

export function combineHashes(hashes: readonly string[]): string {
  return hashes.length === 1 ? hashes[0]! : `multi:${digestOf(hashes.join(",")).slice("sha256:".length)}`;
}

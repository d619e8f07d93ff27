import { closeSync, constants, openSync } from "node:fs";
import type { NativeFs } from "@gantry/runtime";
import { isOpaque, isWhiteout } from "./layer-diff.ts";
import { LowerLayers } from "./lower-layers.ts";
import { parentOf, toText } from "./paths.ts";
import { readTree } from "./tree-reader.ts";

export interface Change { path: string; kind: "added" | "modified" | "deleted" }

/** Rows of `docker diff`: an upper directory against the layers below it. Absolute paths, sorted. */
export async function changesOf(native: NativeFs, upper: string, lowers: readonly string[]): Promise<Change[]> {
  using below = new LowerLayers(native, lowers);
  const changes: Change[] = [];
  /** Directories that hide all that was in them: what is in them is new. */
  const replaced = new Set<string>();
  const root = openSync(upper, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for await (const entry of readTree(native, root)) {
      const { path } = entry;
      if (path === "") continue;
      const hidden = replaced.has(parentOf(path));
      if (isOpaque(entry) || (hidden && (entry.mode & 0o170000) === 0o040000)) replaced.add(path);
      const kind = isWhiteout(entry) ? "deleted" : !hidden && below.has(path) ? "modified" : "added";
      changes.push({ path: `/${toText(path)}`, kind });
    }
  } finally {
    closeSync(root);
  }
  return changes;
}

import { closeSync, constants, openSync } from "node:fs";
import { Readable } from "node:stream";
import type { NativeFs } from "@gantry/runtime";
import { joinPath, nameOf, parentOf } from "./paths.ts";
import { packEntries } from "./pack.ts";
import { S_IFCHR, S_IFMT, type TreeEntry } from "./tree-reader.ts";

export const isWhiteout = (e: TreeEntry): boolean => (e.mode & S_IFMT) === S_IFCHR && e.major === 0 && e.minor === 0;
export const isOpaque = (e: TreeEntry): boolean =>
  e.xattrs.some((x) => x.name === "trusted.overlay.opaque" && x.value.toString("latin1") === "y");

/**
 * The layer tar of an overlay upper directory: what {@link applyLayer} unpacks to the same. The root has an entry only where
 * `rootChanged`, for most layers say nothing of it. `counting` has the bytes of content at the end.
 */
export function diffLayer(
  native: NativeFs, dir: string, rootChanged: (root: TreeEntry) => boolean, counting: { bytes: number },
): Readable {
  return Readable.from(pack(native, dir, rootChanged, counting), { objectMode: false, highWaterMark: 1 << 20 });
}

async function* pack(
  native: NativeFs, dir: string, rootChanged: (root: TreeEntry) => boolean, counting: { bytes: number },
): AsyncGenerator<Buffer> {
  const root = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    yield* packEntries(native, root, (entry) => {
      if (entry.path === "") return rootChanged(entry) || isOpaque(entry) ? { name: ".", opaque: isOpaque(entry) } : null;
      if (isWhiteout(entry)) return { name: joinPath(parentOf(entry.path), `.wh.${nameOf(entry.path)}`), whiteout: true };
      return { name: entry.path, opaque: isOpaque(entry) };
    }, { counting });
  } finally {
    closeSync(root);
  }
}

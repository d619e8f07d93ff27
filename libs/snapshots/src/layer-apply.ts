import { createHash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { fail } from "@gantry/contracts";
import type { NativeFs } from "@gantry/runtime";
import { LowerLayers } from "./lower-layers.ts";
import { TreeWriter } from "./tree-writer.ts";
import { unpack, type UnpackTotals } from "./unpack.ts";
import { joinPath, nameOf, parentOf } from "./paths.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/**
 * Unpacks a layer tar (OCI image-spec, layer.md) into an empty directory `dir`, in overlay's own form: a `.wh.` entry becomes a
 * device 0:0, `.wh..wh..opq` the attribute trusted.overlay.opaque. `lowers` are the absolute directories of the layers below,
 * the topmost first: directories that the layer has no entry of take their attributes from there, and a whiteout in a directory
 * that no lower layer has hides nothing and is left out (overlay would show it).
 *
 * DIGEST_MISMATCH unless the stream has the diff ID.
 */
export async function applyLayer(
  native: NativeFs, dir: string, lowers: readonly string[], diffId: string, tar: AsyncIterable<Uint8Array>,
): Promise<UnpackTotals> {
  const hash = createHash("sha256");
  using below = new LowerLayers(native, lowers);
  const root = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await using writer = new TreeWriter(native, root);
    const whiteouts = new Map<string, string[]>();
    const opaque = new Set<string>();
    const totals = await unpack(writer, tar, {
      seen: (chunk) => void hash.update(chunk),
      implicit: (path) => below.directory(path),
      beforeTimes: () => markHidden(writer, below, whiteouts, opaque),
      intercept: (path) => {
        const name = nameOf(path);
        if (!name.startsWith(WHITEOUT)) return false;
        const parent = parentOf(path);
        if (name === OPAQUE) opaque.add(parent);
        // Other names of this kind were the bookkeeping of AUFS.
        else if (!name.startsWith(".wh..wh.")) {
          const hidden = name.slice(WHITEOUT.length);
          if (hidden === "" || hidden === "." || hidden === "..") throw fail("INVALID", "invalid archive: a whiteout of no name");
          const names = whiteouts.get(parent);
          if (names === undefined) whiteouts.set(parent, [hidden]);
          else names.push(hidden);
        }
        return true;
      },
    });
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual !== diffId) throw fail("DIGEST_MISMATCH", `layer has diff ID ${actual}, expected ${diffId}`);
    return totals;
  } finally {
    closeSync(root);
  }
}

/** After all entries, for what the layer itself has is not hidden, wherever in the archive its whiteout stands. */
async function markHidden(writer: TreeWriter, below: LowerLayers, whiteouts: Map<string, string[]>, opaque: ReadonlySet<string>): Promise<void> {
  for (const path of opaque) {
    ensure(writer, below, path);
    writer.opaque(path);
    if (writer.full) await writer.flush();
  }
  for (const [parent, names] of whiteouts) {
    if (opaque.has(parent) || below.directory(parent) === null) continue;
    ensure(writer, below, parent);
    for (const name of names) {
      writer.whiteout(joinPath(parent, name));
      if (writer.full) await writer.flush();
    }
  }
}

function ensure(writer: TreeWriter, below: LowerLayers, path: string): void {
  if (path === "") return;
  ensure(writer, below, parentOf(path));
  writer.implicitDirectory(path, below.directory(path) ?? { mode: 0o755, uid: 0, gid: 0 });
}

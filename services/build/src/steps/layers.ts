import { join } from "node:path";
import type { ContentStore } from "@gantry/content";
import type { LayerInfo } from "@gantry/contracts";
import type { Logger } from "@gantry/kernel";
import { digestOf, MediaType } from "@gantry/oci";
import type { NativeFs } from "@gantry/runtime";
import { ensureLayers, type Snapshotter } from "@gantry/snapshots";
import type { PlannedEntry } from "../domain/copy-plan.ts";
import type { StageImage } from "../domain/stage-image.ts";
import { ImageView } from "./image-view.ts";
import { writeLayer } from "./layer-writer.ts";

export interface LayerTools {
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly native: NativeFs;
  readonly logger: Logger;
  /** Begins the keys of all snapshots that are made here. */
  readonly keyPrefix: string;
}

/** Digest of a tar with nothing in it: such a layer is left out of the image. */
const EMPTY_TAR = digestOf(Buffer.alloc(1024));

export const chainOf = (image: StageImage): string | null => image.layers.at(-1)?.chainId ?? null;

/** Brings the image's layers to this host, as snapshots. */
export async function fetchLayers(tools: LayerTools, image: StageImage): Promise<void> {
  await ensureLayers(tools.snapshots, tools.content, image.layers, { logger: tools.logger });
}

/** Shows the image's files while `work` runs. */
export async function withView<T>(tools: LayerTools, id: string, image: StageImage, work: (view: ImageView) => Promise<T>): Promise<T> {
  const key = tools.keyPrefix + id;
  await tools.snapshots.prepare(key, chainOf(image), { volatile: true });
  try {
    await using mounted = await tools.snapshots.mount(key, { readonly: true });
    return await work(new ImageView(tools.native, mounted.path));
  } finally {
    await tools.snapshots.remove(key);
  }
}

/** Plans against the image as it is, then writes what was planned as its next layer. null where that is nothing. */
export async function addLayer(
  tools: LayerTools, id: string, image: StageImage, plan: (view: ImageView) => Promise<readonly PlannedEntry[]>,
): Promise<LayerInfo | null> {
  const key = tools.keyPrefix + id;
  const rootfs = await tools.snapshots.prepare(key, chainOf(image), { volatile: true });
  try {
    const entries = await (async () => {
      await using mounted = await tools.snapshots.mount(key, { readonly: true });
      return await plan(new ImageView(tools.native, mounted.path));
    })();
    if (entries.length === 0) return null;
    const tar = writeLayer(tools.native, join(rootfs.base, rootfs.upper!), entries);
    const { digest, size } = await tools.content.ingest(tar, { volatile: true });
    return await commitLayer(tools, key, image, digest, size);
  } finally {
    // Gone already where it was committed.
    await tools.snapshots.remove(key);
  }
}

/** Packs what a step changed into a layer. null where it changed nothing. */
export async function packLayer(tools: LayerTools, key: string, image: StageImage): Promise<LayerInfo | null> {
  const { digest, size } = await tools.content.ingest(tools.snapshots.diff(key), { volatile: true });
  return digest === EMPTY_TAR ? null : await commitLayer(tools, key, image, digest, size);
}

async function commitLayer(tools: LayerTools, key: string, image: StageImage, diffId: string, blobSize: number): Promise<LayerInfo> {
  const parent = chainOf(image);
  const chainId = parent === null ? diffId : digestOf(`${parent} ${diffId}`);
  const { size } = await tools.snapshots.commit(key, { diffId, chainId });
  return { diffId, chainId, digest: diffId, mediaType: MediaType.ociLayer, blobSize, size };
}

import { on, type Route } from "@gantry/bus";
import { blobStat, imageHistory, imageInspect, imageList, imageResolve, imageStoreInfo, type LayerInfo, type ResolvedImage } from "@gantry/contracts";
import { imageHistory as historyOf } from "../domain/history.ts";
import { inspectImage } from "../domain/inspect.ts";
import { listImages } from "../domain/summary.ts";
import type { CatalogImage } from "../domain/catalog.ts";
import type { ImageStore } from "../store/image-store.ts";

/** Everything that is only read; all from memory, but configs not used lately. */
export function queryRoutes(store: ImageStore): Route[] {
  return [
    on(imageResolve, async ({ ref }) => resolved(store, store.find(ref))),
    on(imageList, async ({ all, filters, sharedSize = false }) => ({ images: listImages(store.catalog, { all, filters, sharedSize }, store.clock.now()).map((row) => ({ ...row })) })),
    on(imageInspect, async ({ ref }) => {
      const image = store.find(ref);
      return { image: inspectImage(store.catalog, image, await store.config(image.id)) };
    }),
    on(imageHistory, async ({ ref }) => {
      const image = store.find(ref);
      return { history: historyOf(store.catalog, image, await store.config(image.id)).map((row) => ({ ...row })) };
    }),
    on(imageStoreInfo, async () => {
      let layersSize = 0;
      for (const { layer } of store.catalog.layers()) layersSize += layer.size;
      return { images: store.catalog.imageCount, layersSize };
    }),
    on(blobStat, async ({ digest }) => ({ size: (await store.blobs.stat(digest))?.size ?? null })),
  ];
}

async function resolved(store: ImageStore, image: CatalogImage): Promise<ResolvedImage> {
  return {
    id: image.id,
    config: { ...await store.config(image.id) },
    layers: image.layers.map((layer, i): LayerInfo => ({ ...layer, chainId: image.chainIds[i]! })),
    repoTags: store.repoTags(image.id),
    repoDigests: store.repoDigests(image.id),
    parent: image.parent,
    size: image.size,
  };
}

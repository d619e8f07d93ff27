import { fail } from "@gantry/contracts";
import { rfc3339Nano } from "@gantry/kernel";
import { hostPlatform, imageConfigText, layerMediaType, sniffCompression, type ImageConfig, type Platform, type Reference } from "@gantry/oci";
import type { Change, StoredLayer } from "../domain/catalog.ts";
import { applyChanges } from "../domain/config-changes.ts";
import { addImage, imageRecord, pointTag } from "../domain/new-image.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";
import { decompressed, peek } from "./decompress.ts";

export interface ImportOptions {
  readonly body: AsyncIterable<Uint8Array>;
  readonly target: (Reference & { readonly tag: string }) | null;
  readonly message: string;
  readonly changes: readonly string[];
  readonly platform: Platform | null;
  readonly maxBytes: number;
}

/** Makes an image of one layer from a file system's tar; gzip and zstd are kept as they came. Answers its ID. */
export async function importImage(store: ImageStore, options: ImportOptions): Promise<string> {
  const config = applyChanges({}, options.changes);
  const { head, all } = await peek(options.body);
  const kept = ["none", "gzip", "zstd"].includes(sniffCompression(head));
  const stored = await store.blobs.ingestLayer(kept ? all : await decompressed(all), { maxBytes: options.maxBytes, volatile: true });
  if (stored.facts === null) throw fail("INVALID", "invalid tar header");
  using _held = store.blobs.lease([stored.digest]);
  const layer: StoredLayer = {
    diffId: stored.facts.diffId ?? stored.digest, digest: stored.digest, mediaType: layerMediaType(stored.facts.compression), blobSize: stored.size, size: stored.facts.size,
  };
  await store.blobs.sync();
  const created = rfc3339Nano(store.clock.nowNano());
  const { os, architecture, variant } = options.platform ?? hostPlatform();
  const text = imageConfigText({
    architecture, os, ...(variant === undefined ? {} : { variant }), created, comment: options.message, config,
    rootfs: { type: "layers", diff_ids: [layer.diffId] }, history: [{ created, comment: options.message }],
  } satisfies ImageConfig);
  const { record } = imageRecord(text, [layer], null);
  return store.update(() => {
    const changes: Change[] = addImage(store.catalog, text, record);
    const events = [imageEvent(store.clock, "import", record.id, record.id, record.labels)];
    if (options.target !== null) {
      const pointed = pointTag(store.catalog, options.target, record.id, null, store.clock.now());
      changes.push(...pointed.changes);
      events.push(imageEvent(store.clock, "tag", record.id, pointed.name, record.labels));
    }
    return { changes, events, result: record.id };
  });
}

import { fail, type DockerEvent } from "@gantry/contracts";
import { shortId } from "@gantry/kernel";
import {
  compressionOf, diffIdsOf, digestOf, familiarString, fullName, hostPlatform, isManifestMediaType, layerMediaType, parseImageConfig, parseManifest, selectManifest, type Descriptor,
} from "@gantry/oci";
import { nameOfDescriptor, parseSaveManifest } from "../domain/archive-index.ts";
import type { Change, StoredLayer } from "../domain/catalog.ts";
import { addImage, imageRecord, parseTarget, pointTag } from "../domain/new-image.ts";
import { bytesMessage } from "../domain/progress.ts";
import type { Progress } from "../http/progress.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";
import { Archive, type ArchiveFile } from "./archive-reader.ts";
import { decompressed } from "./decompress.ts";

export interface LoadOptions {
  readonly body: AsyncIterable<Uint8Array>;
  readonly quiet: boolean;
  readonly maxBytes: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

interface Item {
  readonly config: Buffer;
  readonly layers: readonly ArchiveFile[];
  readonly tags: readonly string[];
  readonly parent: string | null;
}

/** Takes in an archive of `docker save` or an OCI layout, in any usual compression. Errors: INVALID, TOO_LARGE, DIGEST_MISMATCH. */
export async function loadImages(store: ImageStore, options: LoadOptions): Promise<void> {
  using archive = await Archive.read(store, await decompressed(options.body), options.maxBytes, options.signal);
  for (const item of itemsOf(archive)) await loadItem(store, item, options);
}

function itemsOf(archive: Archive): Item[] {
  if (archive.file("manifest.json") !== null) {
    return parseSaveManifest(archive.text("manifest.json")).map((entry) => ({
      config: archive.text(entry.Config),
      layers: (entry.Layers ?? []).map((name) => archive.file(name) ?? missing(name)),
      tags: entry.RepoTags ?? [],
      parent: entry.Parent ? entry.Parent : null,
    }));
  }
  if (archive.file("index.json") === null) throw fail("INVALID", "invalid archive: it holds neither a docker save manifest.json nor an OCI index.json");
  const parsed = parseManifest(archive.text("index.json"));
  if (parsed.kind !== "index") throw fail("INVALID", "invalid archive: index.json is no index");
  const items = new Map<string, Item>();
  for (const descriptor of parsed.index.manifests) {
    const item = itemOfDescriptor(archive, descriptor);
    if (item === null) continue;
    const name = nameOfDescriptor(descriptor.annotations);
    const before = items.get(item.digest);
    items.set(item.digest, { ...item.item, tags: [...before?.tags ?? [], ...name === null ? [] : [name]] });
  }
  if (items.size === 0) throw fail("INVALID", "invalid archive: it holds no image for this platform");
  return [...items.values()];
}

/** null for what is no image, such as attestations. */
function itemOfDescriptor(archive: Archive, first: Descriptor): { digest: string; item: Item } | null {
  let descriptor = first;
  for (let depth = 0; depth < 4; depth++) {
    const data = archive.text(blobName(descriptor.digest));
    if (digestOf(data) !== descriptor.digest) throw fail("DIGEST_MISMATCH", `invalid archive: blob ${descriptor.digest} has digest ${digestOf(data)}`);
    const parsed = parseManifest(data, isManifestMediaType(descriptor.mediaType) ? descriptor.mediaType : undefined);
    if (parsed.kind === "index") {
      const chosen = selectManifest(parsed.index.manifests, hostPlatform());
      if (chosen === null) throw fail("INVALID", "invalid archive: it holds no image for this platform");
      descriptor = chosen;
      continue;
    }
    const { config, layers } = parsed.manifest;
    if (layers.some((layer) => compressionOf(layer.mediaType) === null)) return null;
    return { digest: descriptor.digest, item: { config: archive.text(blobName(config.digest)), layers: layers.map((layer) => archive.file(blobName(layer.digest)) ?? missing(layer.digest)), tags: [], parent: null } };
  }
  throw fail("INVALID", "invalid archive: its index is nested too deeply");
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function missing(name: string): never {
  throw fail("INVALID", `invalid archive: layer ${JSON.stringify(name)} is missing`);
}

async function loadItem(store: ImageStore, item: Item, { progress, quiet, maxBytes }: LoadOptions): Promise<void> {
  const text = item.config.toString("utf8");
  if (digestOf(text) !== digestOf(item.config)) throw fail("INVALID", "image config is not UTF-8");
  const diffIds = diffIdsOf(parseImageConfig(text));
  if (diffIds.length !== item.layers.length) throw fail("INVALID", `invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${item.layers.length}`);
  const targets = item.tags.map(parseTarget);
  using leases = new DisposableStack();
  const layers: StoredLayer[] = [];
  for (const [i, file] of item.layers.entries()) {
    const diffId = diffIds[i]!;
    const known = store.catalog.layerByDiffId(diffId);
    if (known !== null) {
      leases.use(store.blobs.lease([known.digest]));
      layers.push(known);
      continue;
    }
    const layer = await storeLayer(store, file, diffId, maxBytes);
    leases.use(store.blobs.lease([layer.digest]));
    layers.push(layer);
    if (!quiet) progress.tell(bytesMessage(shortId(diffId), "Loading layer", layer.blobSize, layer.blobSize));
  }
  await store.blobs.sync();
  const { record } = imageRecord(text, layers, item.parent);
  const told = await store.update(() => {
    const changes: Change[] = addImage(store.catalog, text, record);
    const events: DockerEvent[] = [imageEvent(store.clock, "load", record.id, record.id, record.labels)];
    const lines: string[] = [];
    for (const target of targets) {
      const before = store.catalog.tag(fullName(target), target.tag)?.imageId ?? null;
      if (before !== null && before !== record.id) {
        lines.push(`The image ${familiarString(target)} already exists, renaming the old one with ID ${before} to empty string\n`);
      }
      const pointed = pointTag(store.catalog, target, record.id, null, store.clock.now());
      changes.push(...pointed.changes);
      events.push(imageEvent(store.clock, "tag", record.id, pointed.name, record.labels));
      lines.push(`Loaded image: ${pointed.name}\n`);
    }
    if (targets.length === 0) lines.push(`Loaded image ID: ${record.id}\n`);
    return { changes, events, result: lines };
  });
  for (const line of told) progress.tell({ stream: line });
}

async function storeLayer(store: ImageStore, file: ArchiveFile, diffId: string, maxBytes: number): Promise<StoredLayer> {
  const stored = file.kind === "blob" ? file : await store.blobs.ingestLayer(once(file.data), { maxBytes, volatile: true });
  const { facts } = stored;
  if (facts === null) throw fail("INVALID", `invalid archive: layer ${diffId} is not a tar archive`);
  if ((facts.diffId ?? stored.digest) !== diffId) throw fail("DIGEST_MISMATCH", `invalid diffID for layer: expected "${diffId}", got "${facts.diffId ?? stored.digest}"`);
  return { diffId, digest: stored.digest, mediaType: layerMediaType(facts.compression), blobSize: stored.size, size: facts.size };
}

async function* once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

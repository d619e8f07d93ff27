import { buffer } from "node:stream/consumers";
import { compressionOf, digestOf, hostPlatform, isDigest, MAX_CONFIG_BYTES, MediaType, parseImageConfig, parseManifest, selectManifest, type Index, type Manifest } from "@gantry/oci";
import { isGantryError } from "@gantry/kernel";
import type { Change, ManifestRecord, StoredLayer } from "../domain/catalog.ts";
import { manifestRecord } from "../domain/manifest-of.ts";
import { familiarRepository } from "../domain/names.ts";
import { addImage, imageRecord } from "../domain/new-image.ts";
import { forgetManifest } from "../domain/removal.ts";
import { registryError } from "./registry-error.ts";
import { imageEvent } from "./events.ts";
import type { ImageStore } from "./image-store.ts";

interface Pushed { readonly record: ManifestRecord; readonly image: { readonly id: string; readonly changes: () => Change[]; readonly labels: Readonly<Record<string, string>> | null } | null }

/**
 * Takes a pushed manifest or index in. Everything it names must be here (MANIFEST_BLOB_UNKNOWN).
 * Pushed under a tag, an image manifest becomes a local image, and of an index the one for this host's platform does; pushed by
 * digest it is kept for the index that will name it. Layers are checked against the config's diff IDs (MANIFEST_INVALID).
 */
export async function storeManifest(store: ImageStore, put: { repo: string; reference: string; body: Buffer; contentType: string }): Promise<ManifestRecord> {
  const digest = digestOf(put.body);
  if (isDigest(put.reference) && put.reference !== digest) throw registryError("DIGEST_INVALID", "provided digest did not match uploaded content");
  const parsed = parseManifest(put.body, put.contentType);
  const text = put.body.toString("utf8");
  const tag = isDigest(put.reference) ? null : put.reference;
  const needed = parsed.kind === "index" ? [] : [parsed.manifest.config, ...parsed.manifest.layers].map((descriptor) => descriptor.digest);
  using _held = store.blobs.lease(needed);
  const { record, image } = parsed.kind === "index"
    ? await pushedIndex(store, text, parsed.mediaType, parsed.index, tag !== null)
    : await pushedManifest(store, text, parsed.mediaType, parsed.manifest, tag !== null);
  await store.blobs.sync();
  await store.update(() => {
    const imageId = image?.id ?? null;
    const changes: Change[] = [...image?.changes() ?? []];
    changes.push({ type: "manifest", record, body: text });
    // An earlier push by tag made it a RepoDigest: a push by digest does not take that back.
    const known = store.catalog.digest(put.repo, digest)?.imageId ?? null;
    changes.push({ type: "digest", record: { repo: put.repo, digest, imageId: imageId ?? known } });
    const events = [];
    if (tag !== null) {
      changes.push({ type: "tag", record: { repo: put.repo, tag, imageId, manifest: digest, updated: store.clock.now() } });
      if (imageId !== null) events.push(imageEvent(store.clock, "tag", imageId, `${familiarRepository(put.repo)}:${tag}`, image!.labels));
    }
    return { changes, events, result: null };
  });
  return record;
}

async function pushedManifest(store: ImageStore, text: string, mediaType: string, manifest: Manifest, wanted: boolean): Promise<Pushed> {
  for (const descriptor of [manifest.config, ...manifest.layers]) {
    if ((descriptor.urls ?? []).length > 0) continue;
    if (store.catalog.image(descriptor.digest) !== null) continue;
    const size = await store.blobs.size(descriptor.digest);
    if (size === null) throw registryError("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", { digest: descriptor.digest });
    if (size !== descriptor.size) throw registryError("SIZE_INVALID", `blob ${descriptor.digest} has ${size} bytes, not ${descriptor.size}`);
  }
  const image = wanted ? await imageOf(store, manifest) : null;
  return { record: manifestRecord(text, mediaType, manifest, image?.id ?? knownImage(store, manifest)), image };
}

function knownImage(store: ImageStore, manifest: Manifest): string | null {
  return store.catalog.image(manifest.config.digest) === null ? null : manifest.config.digest;
}

async function pushedIndex(store: ImageStore, text: string, mediaType: string, index: Index, wanted: boolean): Promise<Pushed> {
  for (const child of index.manifests) {
    if (store.catalog.manifest(child.digest) === null) throw registryError("MANIFEST_BLOB_UNKNOWN", "manifest unknown to registry", { digest: child.digest });
  }
  const record: ManifestRecord = {
    digest: digestOf(text), mediaType, kind: "index", size: Buffer.byteLength(text), imageId: null, subject: index.subject?.digest ?? null,
    artifactType: index.artifactType ?? null, annotations: index.annotations ?? null, refs: index.manifests.map((child) => child.digest),
  };
  const chosen = wanted ? selectManifest(index.manifests, hostPlatform()) : null;
  const body = chosen === null ? null : await store.manifestBody(chosen.digest);
  if (chosen === null || body === null) return { record, image: null };
  const parsed = parseManifest(body, store.catalog.manifest(chosen.digest)?.mediaType);
  const image = parsed.kind === "manifest" ? await imageOf(store, parsed.manifest) : null;
  if (parsed.kind !== "manifest" || image === null) return { record, image: null };
  const child = manifestRecord(body, parsed.mediaType, parsed.manifest, image.id);
  return { record, image: { ...image, changes: () => [...image.changes(), { type: "manifest", record: child, body }] } };
}

/** The image that a manifest is of; null where it is none that runs here (an artifact, layers kept elsewhere). */
async function imageOf(store: ImageStore, manifest: Manifest): Promise<Pushed["image"]> {
  const { config, layers } = manifest;
  if (config.mediaType !== MediaType.ociConfig && config.mediaType !== MediaType.dockerConfig) return null;
  if (manifest.artifactType !== undefined || layers.some((layer) => compressionOf(layer.mediaType) === null)) return null;
  const text = store.catalog.image(config.digest) !== null ? await store.configText(config.digest) : await readConfig(store, config);
  let diffIds: readonly string[];
  try {
    diffIds = parseImageConfig(text).rootfs.diff_ids ?? [];
  } catch (e) {
    if (isGantryError(e, "INVALID")) throw registryError("MANIFEST_INVALID", e.message);
    throw e;
  }
  if (diffIds.length !== layers.length) throw registryError("MANIFEST_INVALID", `the manifest has ${layers.length} layers, its config ${diffIds.length} diff IDs`);
  const stored: StoredLayer[] = [];
  for (const [i, layer] of layers.entries()) stored.push(await storedLayer(store, layer, diffIds[i]!));
  const { record } = imageRecord(text, stored, null);
  return { id: record.id, labels: record.labels, changes: () => addImage(store.catalog, text, record) };
}

async function readConfig(store: ImageStore, config: Manifest["config"]): Promise<string> {
  if (config.size > MAX_CONFIG_BYTES) throw registryError("SIZE_INVALID", "image config is too large");
  return (await buffer(await store.blobs.open(config.digest))).toString("utf8");
}

/** What is in a layer's blob, which must be the layer that the config names. */
export async function storedLayer(store: ImageStore, layer: { digest: string; mediaType: string; size: number }, diffId: string): Promise<StoredLayer> {
  const known = store.catalog.layer(layer.digest);
  if (known !== null && known.diffId === diffId) return known;
  const facts = await store.blobs.facts(layer.digest);
  if (facts === null || (facts.diffId ?? layer.digest) !== diffId) throw registryError("MANIFEST_INVALID", `layer ${layer.digest} is not ${diffId}, which the config names`);
  return { diffId, digest: layer.digest, mediaType: layer.mediaType, blobSize: layer.size, size: facts.size };
}

/** False: there is none. */
export async function deleteManifest(store: ImageStore, repo: string, reference: string): Promise<boolean> {
  return store.update<boolean>(() => {
    const { catalog } = store;
    const changes: Change[] = [];
    if (!isDigest(reference)) {
      if (catalog.tag(repo, reference) === null) return { changes, result: false };
      changes.push({ type: "untag", repo, tag: reference });
      return { changes, result: true };
    }
    const record = catalog.manifest(reference);
    const shown = (catalog.tags(repo) ?? []).filter((tag) => tag.manifest === reference || (tag.manifest === null && record !== null && record.imageId !== null && tag.imageId === record.imageId));
    if (record === null || (catalog.digest(repo, reference) === null && shown.length === 0)) return { changes, result: false };
    for (const tag of shown) changes.push({ type: "untag", repo, tag: tag.tag });
    changes.push({ type: "undigest", repo, digest: reference });
    if (catalog.manifestRepositories(reference).every((other) => other === repo)) changes.push(...forgetManifest(catalog, reference));
    return { changes, result: true };
  });
}

import { fail } from "@gantry/contracts";
import { KeyedMutex, shortId } from "@gantry/kernel";
import {
  compressionOf, diffIdsOf, digestOf, familiarName, familiarString, fullName, hostPlatform, MAX_CONFIG_BYTES, MediaType, parseImageConfig, selectManifest, withDefaultTag,
  formatPlatform, type Descriptor, type Manifest, type Platform, type Reference,
} from "@gantry/oci";
import type { ManifestAnswer, RegistryClient } from "@gantry/registry-client";
import type { Change, StoredLayer } from "../domain/catalog.ts";
import { manifestRecord } from "../domain/manifest-of.ts";
import { addImage, imageRecord } from "../domain/new-image.ts";
import { layerMessage } from "../domain/progress.ts";
import type { Progress } from "../http/progress.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";
import { limitConcurrency } from "./limit.ts";
import { pullError } from "./words.ts";

/** Layers of one pull that come at the same time, as in Docker. */
const CONCURRENT_LAYERS = 3;

export interface PullOptions {
  readonly ref: Reference;
  readonly platform: Platform | null;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Pulls images. Two pulls of one layer fetch it once. */
export class Puller {
  readonly #store: ImageStore;
  readonly #layers = new KeyedMutex();

  constructor(store: ImageStore) {
    this.#store = store;
  }

  /** One tag or digest. Errors in Docker's words. */
  async pull(client: RegistryClient, options: PullOptions): Promise<void> {
    const ref = withDefaultTag(options.ref);
    const { progress, signal } = options;
    const reference = ref.digest ?? ref.tag!;
    let top: ManifestAnswer;
    try {
      top = await client.manifest(ref.path, reference, signal);
    } catch (e) {
      throw pullError(e, ref);
    }
    progress.tell({ status: `Pulling from ${ref.path}`, id: reference });
    const { manifest, answer } = await this.#forPlatform(client, ref, top, options.platform ?? hostPlatform(), signal);
    checkKind(manifest);
    const text = (await client.blobBytes(ref.path, manifest.config, MAX_CONFIG_BYTES, signal)).toString("utf8");
    const diffIds = diffIdsOf(parseImageConfig(text));
    if (digestOf(text) !== manifest.config.digest) throw fail("INVALID", "image config is not UTF-8");
    if (diffIds.length !== manifest.layers.length) throw fail("INVALID", "the manifest and the image config disagree on the number of layers");
    const known = manifest.layers.map((layer, i) => this.#knownLayer(layer, diffIds[i]!));
    using _held = this.#store.blobs.lease(manifest.layers.map((layer, i) => known[i]?.digest ?? layer.digest));
    const layers = await this.#fetchLayers(client, ref, { layers: manifest.layers, diffIds, known }, progress, signal);
    await this.#store.blobs.sync();
    const { record } = imageRecord(text, layers, null);
    const repo = fullName(ref);
    const news = await this.#store.update(() => {
      const known = ref.digest === null ? this.#store.catalog.tag(repo, ref.tag!)?.imageId : this.#store.catalog.digest(repo, ref.digest)?.imageId;
      const body = answer.bytes.toString("utf8");
      const changes: Change[] = [
        ...addImage(this.#store.catalog, text, record),
        { type: "manifest", record: manifestRecord(body, answer.mediaType, manifest, record.id), body },
        { type: "digest", record: { repo, digest: answer.digest, imageId: answer.digest === top.digest ? record.id : null } },
      ];
      if (answer.digest !== top.digest) changes.push({ type: "digest", record: { repo, digest: top.digest, imageId: record.id } });
      if (ref.digest === null) changes.push({ type: "tag", record: { repo, tag: ref.tag!, imageId: record.id, manifest: answer.digest, updated: this.#store.clock.now() } });
      const name = familiarString(ref);
      return { changes, events: [imageEvent(this.#store.clock, "pull", name, familiarName(ref), record.labels)], result: known !== record.id };
    });
    progress.tell({ status: `Digest: ${top.digest}` });
    progress.tell({ status: `Status: ${news ? "Downloaded newer image" : "Image is up to date"} for ${familiarString(ref)}` });
  }

  async #forPlatform(client: RegistryClient, ref: Reference, top: ManifestAnswer, platform: Platform, signal: AbortSignal): Promise<{ manifest: Manifest; answer: ManifestAnswer }> {
    let answer = top;
    // An index may list indexes; not endlessly.
    for (let depth = 0; depth < 4; depth++) {
      if (answer.parsed.kind === "manifest") return { manifest: answer.parsed.manifest, answer };
      const chosen = selectManifest(answer.parsed.index.manifests, platform);
      if (chosen === null) throw fail("NO_SUCH_IMAGE", `no matching manifest for ${formatPlatform(platform)} in the manifest list entries: no match for platform in manifest: not found`);
      answer = await client.manifest(ref.path, chosen.digest, signal);
    }
    throw fail("INVALID", "the image index is nested too deeply");
  }

  async #fetchLayers(
    client: RegistryClient, ref: Reference, wanted: { layers: readonly Descriptor[]; diffIds: readonly string[]; known: readonly (StoredLayer | null)[] },
    progress: Progress, signal: AbortSignal,
  ): Promise<StoredLayer[]> {
    const { layers, diffIds, known } = wanted;
    const abort = new AbortController();
    const either = AbortSignal.any([signal, abort.signal]);
    const run = limitConcurrency(CONCURRENT_LAYERS);
    const ids = layers.map((layer) => shortId(layer.digest));
    layers.forEach((_, i) => progress.tell(layerMessage(ids[i]!, known[i] === null ? "Pulling fs layer" : "Already exists")));
    let started = 0;
    const fetched = layers.map(async (layer, i) => {
      const here = known[i];
      if (here !== null && here !== undefined) return here;
      if (started++ >= CONCURRENT_LAYERS) progress.tell(layerMessage(ids[i]!, "Waiting"));
      return run(() => this.#layers.run(layer.digest, () => this.#fetchLayer(client, ref, layer, diffIds[i]!, progress, either)));
    });
    for (const layer of fetched) layer.catch(() => abort.abort(new Error("another layer failed")));
    try {
      const stored: StoredLayer[] = [];
      // Told bottom first, as layers are registered in Docker.
      for (const [i, layer] of fetched.entries()) {
        stored.push(await layer);
        if (known[i] !== null) continue;
        progress.tell({ ...layerMessage(ids[i]!, "Extracting"), progressDetail: { current: layers[i]!.size, total: layers[i]!.size } });
        progress.tell(layerMessage(ids[i]!, "Pull complete"));
      }
      return stored;
    } catch (e) {
      abort.abort(e);
      const results = await Promise.allSettled(fetched);
      // The first cause, and not what was cancelled because of it.
      const cause = results.find((result) => result.status === "rejected" && !isAbort(result.reason));
      throw cause?.status === "rejected" && !signal.aborted ? cause.reason : e;
    }
  }

  /** The same blob, or another that holds the same files: the config has been verified, so its diff ID may be relied on. */
  #knownLayer(layer: Descriptor, diffId: string): StoredLayer | null {
    const same = this.#store.catalog.layer(layer.digest);
    return same !== null && same.diffId === diffId ? same : this.#store.catalog.layerByDiffId(diffId);
  }

  async #fetchLayer(client: RegistryClient, ref: Reference, layer: Descriptor, diffId: string, progress: Progress, signal: AbortSignal): Promise<StoredLayer> {
    const { blobs } = this.#store;
    const id = shortId(layer.digest);
    signal.throwIfAborted();
    let facts = await blobs.has(layer.digest) ? await blobs.facts(layer.digest) : null;
    if (facts === null) {
      const stream = client.blob(ref.path, layer, { signal, verified: true, onProgress: (bytes) => progress.bytes(id, "Downloading", bytes, layer.size) });
      ({ facts } = await blobs.ingestLayer(stream, { expected: layer.digest, volatile: true }));
    }
    progress.tell(layerMessage(id, "Verifying Checksum"));
    if (facts === null) throw fail("INVALID", `layer ${layer.digest} is not a tar archive`);
    if ((facts.diffId ?? layer.digest) !== diffId) throw fail("DIGEST_MISMATCH", `layers from manifest don't match image configuration`);
    progress.tell(layerMessage(id, "Download complete"));
    return { diffId, digest: layer.digest, mediaType: layer.mediaType, blobSize: layer.size, size: facts.size };
  }
}

function checkKind(manifest: Manifest): void {
  if (manifest.config.mediaType !== MediaType.ociConfig && manifest.config.mediaType !== MediaType.dockerConfig) {
    throw fail("INVALID", `unsupported media type ${manifest.config.mediaType}: it is not a container image`);
  }
  const odd = manifest.layers.find((layer) => compressionOf(layer.mediaType) === null);
  if (odd !== undefined) throw fail("INVALID", `unsupported layer media type ${odd.mediaType}`);
}

function isAbort(e: unknown): boolean {
  return e instanceof Error && (e.name === "AbortError" || e.message === "another layer failed");
}

import { pipeline } from "node:stream";
import { createGzip } from "node:zlib";
import { fail } from "@gantry/contracts";
import type { DigestCache } from "@gantry/digest-cache";
import { shortId } from "@gantry/kernel";
import { compressionOf, familiarName, familiarString, fullName, MediaType, parseManifest, withTag, type Descriptor, type Manifest, type Reference } from "@gantry/oci";
import type { RegistryClient } from "@gantry/registry-client";
import type { CatalogImage, Change, ManifestRecord, StoredLayer } from "../domain/catalog.ts";
import { layerMessage } from "../domain/progress.ts";
import type { Progress } from "../http/progress.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";
import { limitConcurrency } from "./limit.ts";
import { pushError } from "./words.ts";

const CONCURRENT_LAYERS = 4;
/** Fast and not small: a push waits for the compressor more than for the wire. */
const GZIP_LEVEL = 1;
const MOUNT_SPACE = "image-store.mount";
const MOUNT_SOURCES = 4;

export interface PushOptions {
  readonly ref: Reference;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Pushes images. An image that came with a manifest goes out with the same one; a local one gets Docker's schema 2, its
 * uncompressed layers compressed on the way.
 */
export class Pusher {
  readonly #store: ImageStore;
  /** Which repositories of a registry are known to hold a blob: the registry verifies it when it mounts. */
  readonly #cache: DigestCache;

  constructor(store: ImageStore, cache: DigestCache) {
    this.#store = store;
    this.#cache = cache;
  }

  /** The tag of `ref`, or every tag of the repository where it has none. Errors in Docker's words. */
  async push(connect: () => Promise<RegistryClient>, options: PushOptions): Promise<void> {
    const { ref, progress } = options;
    progress.tell({ status: `The push refers to repository [${fullName(ref)}]` });
    const tags = (this.#store.catalog.tags(fullName(ref)) ?? []).filter((record) => record.imageId !== null);
    if (tags.length === 0) throw fail("NO_SUCH_IMAGE", `An image does not exist locally with the tag: ${familiarName(ref)}`);
    if (ref.digest !== null) throw fail("INVALID", "cannot push a digest reference");
    const wanted = ref.tag === null ? tags : tags.filter((record) => record.tag === ref.tag);
    if (wanted.length === 0) throw fail("NO_SUCH_IMAGE", `tag does not exist: ${familiarString(ref)}`);
    await using client = await connect();
    for (const record of wanted) {
      try {
        await this.#pushTag(client, { ...options, ref: withTag(ref, record.tag) }, record.imageId!, record.manifest);
      } catch (e) {
        throw pushError(e);
      }
    }
  }

  async #pushTag(client: RegistryClient, options: PushOptions, imageId: string, manifestDigest: string | null): Promise<void> {
    const { ref, progress, signal } = options;
    const image = this.#store.catalog.image(imageId);
    if (image === null) throw fail("NO_SUCH_IMAGE", `tag does not exist: ${familiarString(ref)}`);
    using _held = this.#store.blobs.lease(image.layers.map((layer) => layer.digest));
    const given = manifestDigest === null ? null : await this.#reusable(image, this.#store.catalog.manifest(manifestDigest));
    const layers = await this.#pushLayers(client, options, image);
    const text = await this.#store.configText(imageId);
    const config = Buffer.from(text);
    const made = given ?? schema2(image, config.length, layers);
    if (await client.blobSize(ref.path, imageId, signal) === null) {
      await client.pushBlob(ref.path, { digest: imageId, size: config.length }, (offset) => bytes(config.subarray(offset)), { signal });
    }
    const digest = await client.putManifest(ref.path, ref.tag!, { mediaType: made.mediaType, bytes: Buffer.from(made.body) }, signal);
    const size = Buffer.byteLength(made.body);
    await this.#record(ref, image, digest, layers);
    progress.tell({ status: `${ref.tag}: digest: ${digest} size: ${size}` });
    progress.tell({ progressDetail: {}, aux: { Tag: ref.tag, Digest: digest, Size: size } });
  }

  /** The manifest that the tag has, where all its blobs are the image's own. An index is not pushed: of it, the image's manifest is. */
  async #reusable(image: CatalogImage, first: ManifestRecord | null): Promise<{ mediaType: string; body: string } | null> {
    const stored = new Set([image.id, ...image.layers.map((layer) => layer.digest)]);
    const candidates = [first, ...this.#store.catalog.manifestsOfImage(image.id)].filter((record) => record !== null);
    const record = candidates.find((candidate) => candidate.kind === "manifest" && candidate.refs.every((ref) => stored.has(ref)));
    const body = record === undefined ? null : await this.#store.manifestBody(record.digest);
    if (record === undefined || body === null) return null;
    const parsed = parseManifest(body, record.mediaType);
    const plain = parsed.kind === "manifest" && parsed.manifest.layers.some((layer) => compressionOf(layer.mediaType) === "none");
    return plain ? null : { mediaType: record.mediaType, body };
  }

  async #pushLayers(client: RegistryClient, options: PushOptions, image: CatalogImage): Promise<Descriptor[]> {
    const { progress } = options;
    const abort = new AbortController();
    const signal = AbortSignal.any([options.signal, abort.signal]);
    const run = limitConcurrency(CONCURRENT_LAYERS);
    // Docker tells of them from the top.
    const order = image.layers.map((_, i) => image.layers.length - 1 - i);
    for (const i of order) progress.tell(layerMessage(shortId(image.layers[i]!.diffId), "Preparing"));
    for (const i of order.slice(CONCURRENT_LAYERS)) progress.tell(layerMessage(shortId(image.layers[i]!.diffId), "Waiting"));
    const pushed = new Map<string, Promise<Descriptor>>();
    for (const i of order) {
      const layer = image.layers[i]!;
      // The same layer may lie in an image twice.
      if (!pushed.has(layer.digest)) pushed.set(layer.digest, run(() => this.#pushLayer(client, { ...options, signal }, layer)));
    }
    try {
      await Promise.all(pushed.values());
    } catch (e) {
      abort.abort(e);
      await Promise.allSettled(pushed.values());
      throw e;
    }
    return Promise.all(image.layers.map((layer) => pushed.get(layer.digest)!));
  }

  async #pushLayer(client: RegistryClient, { ref, progress, signal }: PushOptions, layer: StoredLayer): Promise<Descriptor> {
    const id = shortId(layer.diffId);
    signal.throwIfAborted();
    const plain = compressionOf(layer.mediaType) === "none";
    const known = plain ? this.#store.catalog.compressedOf(layer.diffId) : { digest: layer.digest, size: layer.blobSize };
    const mediaType = plain || compressionOf(layer.mediaType) === "gzip" ? MediaType.dockerLayerGzip : MediaType.ociLayerZstd;
    if (known !== null && await client.blobSize(ref.path, known.digest, signal) === known.size) {
      progress.tell(layerMessage(id, "Layer already exists"));
      await this.#remember(ref, known.digest);
      return { mediaType, ...known };
    }
    const onProgress = (sent: number): void => progress.bytes(id, "Pushing", sent, plain ? layer.size : layer.blobSize);
    progress.bytes(id, "Pushing", 0, plain ? layer.size : layer.blobSize);
    if (plain) {
      let read = 0;
      const source = await this.#compressor(layer, (bytes) => { read += bytes; onProgress(Math.min(read, layer.size)); });
      const made = await client.pushStream(ref.path, source, { signal });
      progress.tell(layerMessage(id, "Pushed"));
      await this.#remember(ref, made.digest);
      return { mediaType, ...made };
    }
    const mountFrom = await this.#mountSources(ref, layer.digest);
    const how = await client.pushBlob(ref.path, known!, (offset) => this.#store.blobs.open(layer.digest, { offset }), { signal, onProgress, mountFrom });
    progress.tell(layerMessage(id, how === "mounted" ? "Mounted" : "Pushed"));
    await this.#remember(ref, layer.digest);
    return { mediaType, ...known! };
  }

  /** Opened before it is used, so that a missing blob is an error of ours and not a broken upload. */
  async #compressor(layer: StoredLayer, onRead: (bytes: number) => void): Promise<() => AsyncIterable<Uint8Array>> {
    if (!await this.#store.blobs.has(layer.digest)) throw fail("NO_SUCH_BLOB", `blob not found: ${layer.digest}`);
    const { blobs } = this.#store;
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of await blobs.open(layer.digest) as AsyncIterable<Uint8Array>) {
        onRead(chunk.length);
        yield chunk;
      }
    };
    // What breaks the source or the gzip destroys the other, and is thrown where the gzip is read.
    return () => pipeline(counted, createGzip({ level: GZIP_LEVEL, chunkSize: 256 * 1024 }), () => {});
  }

  async #mountSources(ref: Reference, digest: string): Promise<string[]> {
    const text = await this.#cache.get(MOUNT_SPACE, `${ref.domain}/${digest}`);
    return (text ?? "").split(" ").filter((path) => path !== "" && path !== ref.path).slice(0, MOUNT_SOURCES);
  }

  async #remember(ref: Reference, digest: string): Promise<void> {
    const others = await this.#mountSources(ref, digest);
    await this.#cache.set(MOUNT_SPACE, `${ref.domain}/${digest}`, [ref.path, ...others].slice(0, MOUNT_SOURCES).join(" "), 0);
  }

  async #record(ref: Reference, image: CatalogImage, digest: string, layers: readonly Descriptor[]): Promise<void> {
    const changes: Change[] = [];
    image.layers.forEach((layer, i) => {
      const { digest: blob, size } = layers[i]!;
      if (blob !== layer.digest && this.#store.catalog.compressedOf(layer.diffId)?.digest !== blob) changes.push({ type: "compressed", diffId: layer.diffId, digest: blob, size });
    });
    const name = familiarString(ref);
    await this.#store.update(() => {
      // It may have been removed during the push, and then has no digest to show.
      if (this.#store.catalog.image(image.id) !== null) changes.push({ type: "digest", record: { repo: fullName(ref), digest, imageId: image.id } });
      return { changes, events: [imageEvent(this.#store.clock, "push", name, familiarName(ref), image.labels)], result: null };
    });
  }
}

function schema2(image: CatalogImage, configBytes: number, layers: readonly Descriptor[]): { mediaType: string; body: string } {
  const oci = layers.some((layer) => layer.mediaType === MediaType.ociLayerZstd);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: oci ? MediaType.ociManifest : MediaType.dockerManifest,
    config: { mediaType: oci ? MediaType.ociConfig : MediaType.dockerConfig, size: configBytes, digest: image.id },
    layers: layers.map(({ mediaType, size, digest }) => ({ mediaType: oci && mediaType === MediaType.dockerLayerGzip ? MediaType.ociLayerGzip : mediaType, size, digest })),
  };
  return { mediaType: manifest.mediaType!, body: JSON.stringify(manifest, null, 3) };
}

async function* bytes(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { digestOf, familiarName, fullName, isDigest, MediaType, parseReference, type Descriptor, type Reference } from "@gantry/oci";
import { isGantryError } from "@gantry/kernel";
import { pack, type Pack } from "tar-stream";
import { IMAGE_NAME_ANNOTATION, REF_NAME_ANNOTATION } from "../domain/archive-index.ts";
import type { CatalogImage } from "../domain/catalog.ts";
import { isIdPrefix } from "../domain/lookup.ts";
import { manifestOf } from "../domain/manifest-of.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";

interface Wanted { readonly image: CatalogImage; readonly tags: Reference[] }

/** Images by the names a user gave: a name without tag is all of its tags, an ID has none. Throws NO_SUCH_IMAGE, INVALID. */
export function wantedImages(store: ImageStore, names: readonly string[]): Wanted[] {
  const wanted = new Map<string, Wanted>();
  const add = (image: CatalogImage, ref: Reference | null): void => {
    const entry = wanted.get(image.id) ?? { image, tags: [] };
    wanted.set(image.id, entry);
    if (ref !== null && !entry.tags.some((tag) => fullName(tag) === fullName(ref) && tag.tag === ref.tag)) entry.tags.push(ref);
  };
  for (const name of names) {
    const ref = asName(name);
    const all = ref !== null && ref.tag === null && ref.digest === null ? (store.catalog.tags(fullName(ref)) ?? []).filter((tag) => tag.imageId !== null) : [];
    for (const tag of all) add(store.catalog.image(tag.imageId!)!, { ...ref!, tag: tag.tag });
    if (all.length > 0) continue;
    const image = store.find(name);
    add(image, ref === null || ref.tag === null || isIdPrefix(image.id, name) ? null : { ...ref, digest: null });
  }
  return [...wanted.values()];
}

function asName(text: string): Reference | null {
  if (isDigest(text)) return null;
  try {
    return parseReference(text);
  } catch (e) {
    // 64 hex digits are an ID.
    if (isGantryError(e, "INVALID")) return null;
    throw e;
  }
}

/**
 * An archive that `docker load` of every version and OCI tools read: blobs by digest as they are stored (compressed layers stay so),
 * index.json, manifest.json, oci-layout, repositories. Bytes are copied, nothing is made anew.
 */
export function saveImages(store: ImageStore, wanted: readonly Wanted[]): { stream: Readable; done: Promise<void> } {
  const tar = pack({ highWaterMark: 1 << 20 });
  const lease = store.blobs.lease(wanted.flatMap(({ image }) => image.layers.map((layer) => layer.digest)));
  const done = writeAll(store, tar, wanted).catch((e: unknown) => {
    tar.destroy(e as Error);
    throw e;
  }).finally(() => lease[Symbol.dispose]());
  done.catch(() => {});
  return { stream: tar as unknown as Readable, done };
}

async function writeAll(store: ImageStore, tar: Pack, wanted: readonly Wanted[]): Promise<void> {
  const written = new Set<string>();
  const blob = async (digest: string, size: number, content: () => Promise<Readable>): Promise<void> => {
    if (written.has(digest)) return;
    written.add(digest);
    await entry(tar, `blobs/${digest.replace(":", "/")}`, size, await content());
  };
  const small = (data: Buffer) => blob(digestOf(data), data.length, async () => Readable.from([data]));
  const index: Descriptor[] = [];
  const manifests: object[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, tags } of wanted) {
    const config = Buffer.from(await store.configText(image.id));
    for (const layer of image.layers) await blob(layer.digest, layer.blobSize, () => store.blobs.open(layer.digest));
    await small(config);
    const { body, record } = manifestOf(image, config.length);
    await small(Buffer.from(body));
    const descriptor: Descriptor = { mediaType: record.mediaType, digest: record.digest, size: record.size };
    for (const tag of tags) {
      index.push({ ...descriptor, annotations: { [IMAGE_NAME_ANNOTATION]: `${fullName(tag)}:${tag.tag}`, [REF_NAME_ANNOTATION]: tag.tag! } });
      (repositories[familiarName(tag)] ??= {})[tag.tag!] = image.id.slice("sha256:".length);
    }
    if (tags.length === 0) index.push(descriptor);
    manifests.push({
      Config: `blobs/${image.id.replace(":", "/")}`,
      RepoTags: tags.length === 0 ? null : tags.map((tag) => `${familiarName(tag)}:${tag.tag}`),
      Layers: image.layers.map((layer) => `blobs/${layer.digest.replace(":", "/")}`),
      LayerSources: Object.fromEntries(image.layers.map((layer) => [layer.diffId, { mediaType: layer.mediaType, size: layer.blobSize, digest: layer.digest }])),
    });
  }
  const json = (name: string, value: object) => {
    const data = Buffer.from(JSON.stringify(value));
    return entry(tar, name, data.length, Readable.from([data]));
  };
  await json("index.json", { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: index });
  await json("manifest.json", manifests);
  await json("oci-layout", { imageLayoutVersion: "1.0.0" });
  if (Object.keys(repositories).length > 0) await json("repositories", repositories);
  tar.finalize();
  await store.announce(wanted.map(({ image }) => imageEvent(store.clock, "save", image.id, image.id, image.labels)));
}

async function entry(tar: Pack, name: string, size: number, content: Readable): Promise<void> {
  if (!Number.isSafeInteger(size)) throw fail("INTERNAL", `size of ${name}`);
  await pipeline(content, tar.entry({ name, size, mode: 0o644, mtime: new Date(0) }));
}

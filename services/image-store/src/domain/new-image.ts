import { fail } from "@gantry/contracts";
import { diffIdsOf, digestOf, familiarName, familiarString, fullName, parseImageConfig, parseReference, withDefaultTag, type ImageConfig, type Reference } from "@gantry/oci";
import type { Catalog, Change, ImageRecord, StoredLayer } from "./catalog.ts";
import { parseTime } from "./time.ts";

/**
 * The record of an image from its config's exact text and its layers, bottom first.
 * Throws INVALID where the layers are not those the config names.
 */
export function imageRecord(text: string, layers: readonly StoredLayer[], parent: string | null): { record: ImageRecord; config: ImageConfig } {
  const config = parseImageConfig(text);
  const diffIds = diffIdsOf(config);
  if (diffIds.length !== layers.length || diffIds.some((diffId, i) => layers[i]!.diffId !== diffId)) {
    throw fail("INVALID", `the layers are not those of the image config: ${diffIds.length} diff IDs, ${layers.length} layers`);
  }
  const id = digestOf(text);
  return {
    config,
    record: {
      id, parent, created: parseTime(config.created), os: config.os, labels: config.config?.Labels ?? null,
      layers: layers.map(({ diffId, digest, mediaType, blobSize, size }) => ({ diffId, digest, mediaType, blobSize, size })),
    },
  };
}

/**
 * Changes that add an image, or nothing new where it is there: then only a parent that was not known is added.
 * A parent that is not here, or that descends from the image, is not recorded.
 */
export function addImage(catalog: Catalog, text: string, record: ImageRecord): Change[] {
  const known = catalog.image(record.id);
  const parent = record.parent !== null && isSoundParent(catalog, record.parent, record.id) ? record.parent : null;
  if (known === null) return [{ type: "image", record: { ...record, parent }, config: text }];
  if (known.parent !== null || parent === null) return [];
  const { id, created, os, labels, layers } = known;
  return [{ type: "image", record: { id, created, os, labels, layers, parent }, config: text }];
}

function isSoundParent(catalog: Catalog, parent: string, id: string): boolean {
  if (catalog.image(parent) === null) return false;
  for (let at: string | null = parent; at !== null; at = catalog.image(at)?.parent ?? null) if (at === id) return false;
  return true;
}

/** A tag that may be given to an image: a name with or without tag. Throws INVALID in Docker's words. */
export function parseTarget(text: string): Reference & { readonly tag: string } {
  const ref = withDefaultTag(parseReference(text));
  if (ref.digest !== null || ref.tag === null) throw fail("INVALID", "refusing to create a tag with a digest reference");
  if (familiarName(ref) === "sha256") throw fail("INVALID", `refusing to create an ambiguous tag using digest algorithm as name`);
  return { ...ref, tag: ref.tag };
}

/** Changes that point a tag to an image; none where it already does. */
export function pointTag(catalog: Catalog, ref: Reference & { readonly tag: string }, imageId: string, manifest: string | null, now: number): { changes: Change[]; name: string } {
  const repo = fullName(ref);
  const name = familiarString({ ...ref, digest: null });
  const known = catalog.tag(repo, ref.tag);
  if (known !== null && known.imageId === imageId && known.manifest === manifest) return { changes: [], name };
  return { changes: [{ type: "tag", record: { repo, tag: ref.tag, imageId, manifest, updated: now } }], name };
}

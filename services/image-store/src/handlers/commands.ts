import { on, type Bus, type Route } from "@gantry/bus";
import { containersUsingImage, fail, imagePrune, imagePut, imageRemove, imageFence, imageTag, type BodyOf, type DockerEvent } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { fullName, parseReference, withDefaultTag } from "@gantry/oci";
import type { CatalogImage, Change, StoredLayer } from "../domain/catalog.ts";
import { addImage, imageRecord, parseTarget, pointTag } from "../domain/new-image.ts";
import { imagesAtStake, planRemoval, type Removal, type RemovalRow } from "../domain/removal.ts";
import { prunable } from "../domain/prune.ts";
import { imageEvent } from "../store/events.ts";
import type { ImageStore } from "../store/image-store.ts";

/** Everything that changes images and tags. */
export function commandRoutes(store: ImageStore, bus: Bus): Route[] {
  return [
    on(imagePut, (body) => putImage(store, body)),
    on(imageTag, ({ ref, target, fence }) => tagImage(store, ref, target, fence)),
    on(imageFence, async (fence) => {
      await store.update(() => {
        store.checkFence(fence);
        return { changes: [{ type: "fence", ...fence, raisedAt: store.clock.now() }], result: null };
      });
      return {};
    }),
    on(imageRemove, async ({ ref, force, prune }) => ({ rows: (await removeImage(store, bus, ref, { force, prune })).rows })),
    on(imagePrune, ({ filters }) => pruneImages(store, bus, filters)),
  ];
}

/** Until an image has a name, losing it to a power cut costs a build step; so its blobs need not be synced before. */
async function putImage(store: ImageStore, body: BodyOf<typeof imagePut>): Promise<{ id: string }> {
  const { record } = imageRecord(body.config, body.layers, body.parent);
  const targets = body.tags.map(parseTarget);
  using _held = store.blobs.lease(body.layers.map((layer) => layer.digest));
  for (const layer of body.layers) await checkLayer(store, layer);
  if (targets.length > 0) await store.blobs.sync(); else store.blobs.syncSoon();
  return store.update(() => {
    const changes: Change[] = addImage(store.catalog, body.config, record);
    const events: DockerEvent[] = [];
    for (const target of targets) {
      const pointed = pointTag(store.catalog, target, record.id, null, store.clock.now());
      changes.push(...pointed.changes);
      events.push(imageEvent(store.clock, "tag", record.id, pointed.name, record.labels));
    }
    return { changes, events, result: { id: record.id } };
  });
}

async function checkLayer(store: ImageStore, layer: StoredLayer): Promise<void> {
  const known = store.catalog.layer(layer.digest);
  if (known !== null) {
    if (known.diffId !== layer.diffId) throw fail("INVALID", `blob ${layer.digest} holds layer ${known.diffId}, not ${layer.diffId}`);
    return;
  }
  const size = await store.blobs.size(layer.digest);
  if (size === null) throw fail("NO_SUCH_BLOB", `blob not found: ${layer.digest}`);
  if (size !== layer.blobSize) throw fail("INVALID", `blob ${layer.digest} has ${size} bytes, not ${layer.blobSize}`);
}

async function tagImage(store: ImageStore, ref: string, targetText: string, fence: BodyOf<typeof imageTag>["fence"]): Promise<{ id: string }> {
  const target = parseTarget(targetText);
  // Before a name promises that it is there: layers of unnamed images may not be on disk yet.
  await store.blobs.sync();
  return store.update(() => {
    if (fence !== undefined) store.checkFence(fence);
    const image = store.find(ref);
    const pointed = pointTag(store.catalog, target, image.id, manifestBehind(store, ref, image), store.clock.now());
    return { changes: pointed.changes, events: [imageEvent(store.clock, "tag", image.id, pointed.name, image.labels)], result: { id: image.id } };
  });
}

/** A tag made from a tag serves the same manifest, also where that is an index of several platforms. */
function manifestBehind(store: ImageStore, ref: string, image: CatalogImage): string | null {
  try {
    const named = withDefaultTag(parseReference(ref));
    const tag = named.tag === null ? null : store.catalog.tag(fullName(named), named.tag);
    return tag?.imageId === image.id ? tag.manifest : null;
  } catch (e) {
    if (isGantryError(e, "INVALID")) return null;
    throw e;
  }
}

/** Rules in domain/removal.ts. The scheduler is asked first, and nobody's update waits for its answer. */
async function removeImage(store: ImageStore, bus: Bus, ref: string, options: { force: boolean; prune: boolean }): Promise<Removal> {
  for (;;) {
    const asked = imagesAtStake(store.catalog, store.find(ref));
    const { uses } = await bus.call(containersUsingImage, { imageIds: asked });
    const removal = await store.update(() => {
      const image = store.find(ref);
      // The name may have moved to another image meanwhile.
      if (imagesAtStake(store.catalog, image).some((id) => !asked.includes(id))) return { changes: [], result: null };
      const plan = planRemoval(store.catalog, ref, options, uses);
      const events = plan.events.map((event) => imageEvent(store.clock, event.action, event.imageId, event.imageId, event.labels));
      return { changes: plan.changes, events, result: plan };
    });
    if (removal !== null) return removal;
  }
}

/** Images that cannot go (in use, or parents of others) stay without a word, as in Docker. */
async function pruneImages(store: ImageStore, bus: Bus, filters: Readonly<Record<string, string[]>>): Promise<{ rows: RemovalRow[]; spaceReclaimed: number }> {
  const rows: RemovalRow[] = [];
  let spaceReclaimed = 0;
  for (const ref of prunable(store.catalog, filters, store.clock.now())) {
    try {
      const removal = await removeImage(store, bus, ref, { force: false, prune: true });
      rows.push(...removal.rows);
      spaceReclaimed += removal.reclaimed;
    } catch (e) {
      if (!isGantryError(e, "IMAGE_IN_USE") && !isGantryError(e, "NO_SUCH_IMAGE")) throw e;
    }
  }
  await store.announce([imageEvent(store.clock, "prune", "", null, null, { reclaimed: String(spaceReclaimed) })]);
  return { rows, spaceReclaimed };
}

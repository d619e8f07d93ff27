import type { Database } from "@gantry/database";
import type { DigestCache } from "@gantry/digest-cache";
import type { Clock } from "@gantry/kernel";
import { diffIdsOf } from "@gantry/oci";
import { cachedImage, cacheKey, isResultOf, nextImage, type StageImage, type Step } from "../domain/stage-image.ts";
import type { BuildDatabase } from "../jobs/schema.ts";
import type { Images, KnownImage } from "./images.ts";

const SPACE = "build.step";
const DAY_MS = 24 * 3600 * 1000;
const TTL_SECONDS = 7 * 24 * 3600;
const KEEP_DAYS = 90;

export interface StepCacheOptions {
  readonly database: Database<BuildDatabase>;
  readonly cache: DigestCache;
  readonly images: Images;
  readonly clock: Clock;
}

/**
 * Which image a step made last. The database owns this, the digest cache in front of it may be wrong: an answer counts only when
 * the image store still has the image, and its config says that this very step made it of this very image.
 */
export class StepCache {
  readonly #options: StepCacheOptions;

  constructor(options: StepCacheOptions) {
    this.#options = options;
  }

  async find(image: StageImage, step: Step): Promise<StageImage | null> {
    const { cache } = this.#options;
    const key = cacheKey(image, step);
    const seen = new Set<string>();
    for (const look of [() => cache.get(SPACE, key), () => this.#stored(key)]) {
      const id = await look();
      if (id === null || seen.has(id) || !/^sha256:[0-9a-f]{64}$/.test(id)) continue;
      seen.add(id);
      const found = await this.take(image, step, id);
      if (found === null) continue;
      if (seen.size > 1) await cache.set(SPACE, key, id, TTL_SECONDS);
      return found;
    }
    return null;
  }

  /** The image of this ID in place of running the step; null where the store has none, or this step did not make it of this image. */
  async take(image: StageImage, step: Step, id: string): Promise<StageImage | null> {
    const found = await this.#options.images.find(id);
    return found === null || !isResultOf(found.config, image, step) ? null : cachedImage(image, step, id, found.config, found.layers);
  }

  async #stored(key: string): Promise<string | null> {
    const { clock, database } = this.#options;
    const row = await database.query.selectFrom("build_cache").select(["image_id", "used_at"]).where("key", "=", key).executeTakeFirst();
    if (row === undefined) return null;
    if (Number(row.used_at) < clock.now() - DAY_MS) await database.query.updateTable("build_cache").set({ used_at: clock.now() }).where("key", "=", key).execute();
    return row.image_id;
  }

  /** Forgets what was not used for long. */
  async expire(): Promise<void> {
    const { clock, database } = this.#options;
    for (const table of ["build_cache", "build_source"] as const) await database.query.deleteFrom(table).where("used_at", "<", clock.now() - KEEP_DAYS * DAY_MS).execute();
  }

  /** To be called when the image store has the result. */
  async record(image: StageImage, step: Step, result: string): Promise<void> {
    const { cache, clock, database } = this.#options;
    const key = cacheKey(image, step);
    const row = { image_id: result, made_at: clock.now(), used_at: clock.now() };
    await database.query.insertInto("build_cache").values({ key, ...row }).onConflict((c) => c.column("key").doUpdateSet(row)).execute();
    await cache.set(SPACE, key, result, TTL_SECONDS);
  }

  /** The digest of what was copied from another image, by a key that says which image and which paths. */
  async source(key: string): Promise<string | null> {
    const row = await this.#options.database.query.selectFrom("build_source").select("digest").where("key", "=", key).executeTakeFirst();
    return row?.digest ?? null;
  }

  async recordSource(key: string, digest: string): Promise<void> {
    const row = { digest, used_at: this.#options.clock.now() };
    await this.#options.database.query.insertInto("build_source").values({ key, ...row }).onConflict((c) => c.column("key").doUpdateSet(row)).execute();
  }

  /** Forgets all steps, and answers the IDs of the images they made. */
  async prune(): Promise<string[]> {
    const { cache, database } = this.#options;
    const rows = await database.query.deleteFrom("build_cache").returning(["key", "image_id"]).execute();
    await database.query.deleteFrom("build_source").execute();
    for (const { key } of rows) await cache.delete(SPACE, key);
    return [...new Set(rows.map((row) => row.image_id))];
  }
}

/**
 * `--cache-from`: images whose histories may hold the step, such as one that was pulled. A hit in the middle of a history is put
 * into the image store as an image of its own.
 */
export class CacheFrom {
  readonly #images: Images;
  #sources: readonly KnownImage[];

  constructor(images: Images, sources: readonly KnownImage[]) {
    this.#images = images;
    this.#sources = sources;
  }

  async find(image: StageImage, step: Step): Promise<StageImage | null> {
    const at = image.history.length;
    for (const source of this.#sources) {
      const history = source.config.history ?? [];
      const entry = history[at];
      if (entry?.created_by !== step.createdBy || JSON.stringify(history.slice(0, at)) !== JSON.stringify(image.history)) continue;
      const diffIds = diffIdsOf(source.config);
      if (!image.layers.every((layer, i) => layer.diffId === diffIds[i])) continue;
      const layer = entry.empty_layer === true ? null : source.layers[image.layers.length] ?? null;
      if (layer === null && entry.empty_layer !== true) continue;
      // One image from here on: jumping between several could mix what does not belong together.
      this.#sources = [source];
      if (at + 1 === history.length && isResultOf(source.config, image, step)) return cachedImage(image, step, source.id, source.config, source.layers);
      const next = nextImage(image, step, layer, entry.created ?? "1970-01-01T00:00:00Z");
      await this.#images.put(next.config, next.image.layers, image.id);
      return next.image;
    }
    return null;
  }
}

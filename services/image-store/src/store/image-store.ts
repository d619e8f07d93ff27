import type { DockerEvent } from "@gantry/contracts";
import { fail } from "@gantry/contracts";
import { KeyedMutex, type Clock, type Logger } from "@gantry/kernel";
import { parseImageConfig, type ImageConfig } from "@gantry/oci";
import { type Catalog, type CatalogImage, type Change } from "../domain/catalog.ts";
import { forgetImage } from "../domain/removal.ts";
import { findImage } from "../domain/lookup.ts";
import { familiarReference } from "../domain/names.ts";
import type { Blobs } from "./blobs.ts";
import { Lru } from "./lru.ts";
import type { Repository } from "./repository.ts";

/** What a change of the catalog comes to. */
export interface Update<T> {
  readonly changes: readonly Change[];
  readonly events?: readonly DockerEvent[];
  readonly result: T;
}

/** The catalog with its database: reads from memory, writes through, one writer at a time. */
export class ImageStore {
  readonly catalog: Catalog;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #repository: Repository;
  readonly #mutex = new KeyedMutex();
  /** Parsed configs and their texts, by bytes of text. */
  readonly #configs = new Lru<{ text: string; config: ImageConfig }>(64 * 1024 * 1024);
  readonly #bodies = new Lru<string>(32 * 1024 * 1024);
  readonly #onRelease: () => void;

  constructor(parts: { catalog: Catalog; blobs: Blobs; repository: Repository; clock: Clock; logger: Logger; onRelease: () => void }) {
    this.catalog = parts.catalog;
    this.blobs = parts.blobs;
    this.clock = parts.clock;
    this.logger = parts.logger;
    this.#repository = parts.repository;
    this.#onRelease = parts.onRelease;
  }

  /** Throws NO_SUCH_IMAGE, INVALID. */
  find(ref: string): CatalogImage {
    return findImage(this.catalog, ref);
  }

  /** STALE_EPOCH where a greater epoch of the key was seen. Within an update nothing comes between the check and the change. */
  checkFence({ key, epoch }: { readonly key: string; readonly epoch: number }): void {
    const seen = this.catalog.fence(key);
    if (seen > epoch) throw fail("STALE_EPOCH", `epoch ${epoch} of ${key} is over: epoch ${seen} has followed it`);
  }

  async config(id: string): Promise<ImageConfig> {
    return (await this.#config(id)).config;
  }

  /** The exact text whose digest is the image ID. */
  async configText(id: string): Promise<string> {
    return (await this.#config(id)).text;
  }

  async #config(id: string): Promise<{ text: string; config: ImageConfig }> {
    const known = this.#configs.get(id);
    if (known !== undefined) return known;
    const text = await this.#repository.config(id);
    if (text === null) throw fail("NO_SUCH_IMAGE", `No such image: ${id}`);
    const entry = { text, config: parseImageConfig(text) };
    this.#configs.set(id, entry, text.length);
    return entry;
  }

  /** The exact text of a stored manifest; null where there is none. */
  async manifestBody(digest: string): Promise<string | null> {
    const known = this.#bodies.get(digest);
    if (known !== undefined) return known;
    if (this.catalog.manifest(digest) === null) return null;
    const body = await this.#repository.manifestBody(digest);
    if (body !== null) this.#bodies.set(digest, body, body.length);
    return body;
  }

  repoTags(id: string): string[] {
    return this.catalog.references(id).filter((ref) => ref.tag !== null).map(familiarReference);
  }

  repoDigests(id: string): string[] {
    return this.catalog.references(id).filter((ref) => ref.digest !== null).map(familiarReference);
  }

  /**
   * Plans a change on the catalog as it is, commits it and then shows it. `plan` may await; no other update runs meanwhile.
   * What `plan` throws is thrown, and nothing has changed.
   */
  update<T>(plan: () => Update<T> | Promise<Update<T>>): Promise<T> {
    return this.#mutex.run("catalog", async () => {
      const { changes, events = [], result } = await plan();
      if (changes.length === 0 && events.length === 0) return result;
      const held = this.#heldBy(changes);
      await this.#repository.commit(changes, events);
      this.catalog.apply(changes);
      this.#remember(changes);
      if (held.length > 0) {
        this.blobs.released(held);
        this.#onRelease();
      }
      return result;
    });
  }

  /** Forgets images whose layers are not here: those of unnamed images may be lost in a crash of the host. */
  async dropIncomplete(): Promise<void> {
    const lost = new Set<string>();
    await Promise.all([...this.catalog.layers()].map(async ({ layer }) => {
      if (!await this.blobs.has(layer.digest)) lost.add(layer.digest);
    }));
    if (lost.size === 0) return;
    const changes: Change[] = [];
    for (const image of this.catalog.images()) {
      if (!image.layers.some((layer) => lost.has(layer.digest))) continue;
      this.logger.warn({ imageId: image.id, tags: this.repoTags(image.id) }, "an image is forgotten: not all of its layers are here");
      changes.push(...forgetImage(this.catalog, image.id));
    }
    await this.update(() => ({ changes, result: null }));
  }

  /** Publishes events that go with no change. */
  announce(events: readonly DockerEvent[]): Promise<void> {
    return this.#repository.commit([], events);
  }

  #heldBy(changes: readonly Change[]): string[] {
    const held: string[] = [];
    for (const change of changes) {
      if (change.type === "deleteImage") for (const layer of this.catalog.image(change.id)?.layers ?? []) held.push(layer.digest);
      if (change.type === "deleteManifest") held.push(...(this.catalog.manifest(change.digest)?.refs ?? []));
    }
    return held;
  }

  #remember(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.type === "image") {
        this.#configs.set(change.record.id, { text: change.config, config: parseImageConfig(change.config) }, change.config.length);
        this.blobs.settled(change.record.layers.map((layer) => layer.digest));
      } else if (change.type === "manifest") {
        this.#bodies.set(change.record.digest, change.body, change.body.length);
        this.blobs.settled(change.record.refs);
      } else if (change.type === "deleteImage") {
        this.#configs.delete(change.id);
      } else if (change.type === "deleteManifest") {
        this.#bodies.delete(change.digest);
      }
    }
  }
}

import type { FileHandle } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { BlobInfo, OwnedContentStore } from "@gantry/content";
import { describeError, type Clock, type Logger } from "@gantry/kernel";
import { counter, metric } from "@gantry/telemetry/metrics";
import type { Catalog } from "../domain/catalog.ts";
import { alongside, LayerAnalysis, type LayerFacts } from "./layer-analysis.ts";
import { Lru } from "./lru.ts";

const blobBytes = counter(metric.blobBytes);

const SYNC_SOON_MS = 500;
/** Blobs up to this size, configs above all, are kept in memory once they have been read. */
const SMALL_BYTES = 64 * 1024;
const SMALL_TOTAL = 32 * 1024 * 1024;

export interface BlobOptions {
  readonly expected?: string;
  readonly maxBytes?: number;
  readonly volatile?: boolean;
}

/**
 * The blobs, and who needs them.
 *
 * A blob is kept while an image or manifest refers to it, while a lease holds it, and for `graceMs` after it came in or somebody
 * was told that it is here: whoever asked may be about to send the manifest that needs it. Anything else {@link collect} deletes.
 */
export class Blobs implements AsyncDisposable {
  readonly #content: OwnedContentStore;
  readonly #catalog: Catalog;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #graceMs: number;
  readonly #leases = new Map<string, number>();
  /** Digest → when somebody was told of it. */
  readonly #told = new Map<string, number>();
  /** Digests that came in and that nothing refers to yet → when. */
  readonly #fresh = new Map<string, number>();
  /** Were referred to, and are no longer: their age on disk does not matter. */
  readonly #released = new Set<string>();
  readonly #facts = new Lru<LayerFacts>(50_000);
  readonly #sizes = new Lru<number>(100_000);
  readonly #small = new Lru<Buffer>(SMALL_TOTAL);
  #collecting: Promise<number> | null = null;
  #syncTimer: NodeJS.Timeout | undefined;

  constructor(parts: { content: OwnedContentStore; catalog: Catalog; clock: Clock; logger: Logger; graceMs: number }) {
    this.#content = parts.content;
    this.#catalog = parts.catalog;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#graceMs = parts.graceMs;
  }

  /** null where there is none. Telling of a blob protects it for the grace period. */
  async stat(digest: string): Promise<BlobInfo | null> {
    // Before the look, so that no deletion comes in between.
    this.#told.set(digest, this.#clock.now());
    const size = await this.size(digest);
    if (size !== null) return { digest, size };
    this.#told.delete(digest);
    return null;
  }

  /** Bytes of a blob, or null: for this service's own use, which tells nobody. Who goes on to use it needs a lease. */
  async size(digest: string): Promise<number | null> {
    const known = this.#sizes.get(digest);
    if (known !== undefined) return known;
    const found = await this.#content.stat(digest);
    if (found === null) return null;
    this.#sizes.set(digest, found.size);
    return found.size;
  }

  /** A small blob's bytes, from memory or disk; null where it is not small. Throws NO_SUCH_BLOB. */
  async small(digest: string, size: number): Promise<Buffer | null> {
    if (size > SMALL_BYTES) return null;
    const known = this.#small.get(digest);
    if (known !== undefined) return known;
    const data = await buffer(await this.#content.open(digest));
    this.#small.set(digest, data, data.length + 200);
    return data;
  }

  async has(digest: string): Promise<boolean> {
    return await this.size(digest) !== null;
  }

  open(digest: string, range?: { offset: number; length?: number }): Promise<Readable> {
    return this.#content.open(digest, range);
  }

  openFile(digest: string): Promise<FileHandle> {
    return this.#content.openFile(digest);
  }

  async ingest(stream: AsyncIterable<Uint8Array>, options: BlobOptions = {}): Promise<BlobInfo> {
    const info = await this.#content.ingest(stream, options);
    this.#fresh.set(info.digest, this.#clock.now());
    blobBytes.add(info.size, { direction: "in" });
    return info;
  }

  /** Stores a blob and looks whether it is a layer on the way. */
  async ingestLayer(stream: AsyncIterable<Uint8Array>, options: BlobOptions = {}): Promise<BlobInfo & { facts: LayerFacts | null }> {
    const analysis = new LayerAnalysis();
    try {
      const info = await this.ingest(alongside(stream, analysis), options);
      const facts = await analysis.end();
      if (facts !== null) this.#facts.set(info.digest, facts);
      return { ...info, facts };
    } finally {
      analysis.abandon();
    }
  }

  /** What is inside a stored layer: from memory, or by reading it. null where it is no layer. Throws NO_SUCH_BLOB. */
  async facts(digest: string): Promise<LayerFacts | null> {
    const known = this.#facts.get(digest);
    if (known !== undefined) return known;
    const analysis = new LayerAnalysis();
    try {
      for await (const chunk of await this.#content.open(digest)) {
        await analysis.write(chunk as Uint8Array);
        if (analysis.failed) return null;
      }
      const facts = await analysis.end();
      if (facts !== null) this.#facts.set(digest, facts);
      return facts;
    } finally {
      analysis.abandon();
    }
  }

  /** Holds blobs, stored or still to come, until disposed. */
  lease(digests: Iterable<string>): Disposable {
    const held = [...digests];
    for (const digest of held) this.#leases.set(digest, (this.#leases.get(digest) ?? 0) + 1);
    let over = false;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        for (const digest of held) {
          const left = (this.#leases.get(digest) ?? 1) - 1;
          if (left === 0) this.#leases.delete(digest); else this.#leases.set(digest, left);
        }
      },
    };
  }

  sync(): Promise<void> {
    return this.#content.sync();
  }

  /** For what may be lost in a power cut and had better not be: a sync within half a second, and at the end. */
  syncSoon(): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined;
      this.sync().catch((e: unknown) => this.#logger.error({ err: e }, `syncing blobs failed: ${describeError(e)}`));
    }, SYNC_SOON_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#syncTimer);
    await this.sync();
  }

  /** Something refers to these now. */
  settled(digests: Iterable<string>): void {
    for (const digest of digests) {
      this.#fresh.delete(digest);
      this.#released.delete(digest);
    }
  }

  /** Came in by mistake: goes with the next collection, unless something refers to it all the same. */
  reject(digest: string): void {
    this.#fresh.delete(digest);
    this.#released.add(digest);
  }

  /** Deletes a blob that nothing refers to or leases. False: there is none. */
  async discard(digest: string): Promise<boolean> {
    if (!await this.has(digest)) return false;
    if (this.#leases.has(digest) || this.#catalog.referencedBlobs().has(digest)) return false;
    await this.#delete(digest);
    return true;
  }

  async #delete(digest: string): Promise<void> {
    for (const about of [this.#told, this.#fresh, this.#released, this.#facts, this.#sizes, this.#small]) about.delete(digest);
    await this.#content.delete(digest);
  }

  /** Something that referred to these is gone. */
  released(digests: Iterable<string>): void {
    for (const digest of digests) this.#released.add(digest);
  }

  /** Deletes what nobody needs; answers the bytes freed. Calls while one runs share it. */
  collect(): Promise<number> {
    this.#collecting ??= this.#sweep().finally(() => { this.#collecting = null; });
    return this.#collecting;
  }

  async #sweep(): Promise<number> {
    let freed = 0, deleted = 0;
    let referenced = this.#catalog.referencedBlobs();
    let checkedAt = this.#catalog.version;
    for await (const blob of this.#content.list()) {
      if (this.#catalog.version !== checkedAt) {
        referenced = this.#catalog.referencedBlobs();
        checkedAt = this.#catalog.version;
      }
      // From here to the call of delete nothing is awaited: nobody can be told of the blob in between.
      if (referenced.has(blob.digest) || !this.#expired(blob)) continue;
      await this.#delete(blob.digest);
      freed += blob.size;
      deleted++;
    }
    this.#forget();
    if (deleted > 0) this.#logger.info({ deleted, freed }, "deleted blobs that nothing refers to");
    return freed;
  }

  #expired(blob: { digest: string; storedAt: number }): boolean {
    if (this.#leases.has(blob.digest)) return false;
    const limit = this.#clock.now() - this.#graceMs;
    if ((this.#told.get(blob.digest) ?? -Infinity) > limit || (this.#fresh.get(blob.digest) ?? -Infinity) > limit) return false;
    return this.#released.has(blob.digest) || blob.storedAt <= limit;
  }

  #forget(): void {
    const limit = this.#clock.now() - this.#graceMs;
    for (const map of [this.#told, this.#fresh]) for (const [digest, at] of map) if (at <= limit) map.delete(digest);
  }
}

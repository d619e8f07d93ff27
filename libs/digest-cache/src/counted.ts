import { counter, metric } from "@gantry/telemetry/metrics";
import type { DigestCache } from "./port.ts";

const lookups = counter(metric.cacheLookups);

/** Counts what another cache finds and misses. */
export class CountedDigestCache implements DigestCache {
  readonly #cache: DigestCache;

  constructor(cache: DigestCache) {
    this.#cache = cache;
  }

  async get(space: string, key: string): Promise<string | null> {
    const value = await this.#cache.get(space, key);
    lookups.add(1, { outcome: value === null ? "miss" : "hit" });
    return value;
  }

  async getMany(space: string, keys: readonly string[]): Promise<(string | null)[]> {
    const values = await this.#cache.getMany(space, keys);
    const hits = values.filter((value) => value !== null).length;
    if (hits > 0) lookups.add(hits, { outcome: "hit" });
    if (hits < values.length) lookups.add(values.length - hits, { outcome: "miss" });
    return values;
  }

  async set(space: string, key: string, value: string, ttlSeconds: number): Promise<void> {
    await this.#cache.set(space, key, value, ttlSeconds);
  }

  async delete(space: string, key: string): Promise<void> {
    await this.#cache.delete(space, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache[Symbol.asyncDispose]();
  }
}

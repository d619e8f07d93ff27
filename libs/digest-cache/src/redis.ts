import { describeError, type Logger } from "@gantry/kernel";
import { Redis } from "ioredis";
import type { DigestCache } from "./port.ts";

export interface RedisOptions {
  readonly logger: Logger;
  /** First part of every key; default `gantry`. */
  readonly namespace?: string;
  /** An operation slower than this counts as failed; default 250 ms. A cache that is slow is no help. */
  readonly timeoutMs?: number;
  /** Told of every operation that failed or was not tried. */
  readonly onFault?: (operation: string) => void;
}

/**
 * After a fault, operations do without Redis for this long rather than each wait for its timeout; then one of them tries it, while the
 * others still do without. Each trial that fails doubles the pause.
 */
const PAUSE_MS = { first: 500, longest: 8_000 };
const REPORT_EVERY_MS = 10_000;

/**
 * The cache in Redis, shared by every service. While Redis is away or slow, reads find nothing and writes do nothing.
 * Keys that were set without a time to live go when Redis evicts them (`maxmemory-policy allkeys-lru`).
 */
export class RedisDigestCache implements DigestCache {
  readonly #redis: Redis;
  readonly #options: RedisOptions;
  readonly #prefix: string;
  #pausedUntil = 0;
  #pauseMs = 0;
  #trying = false;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #unreported = 0;

  constructor(url: string, options: RedisOptions) {
    const timeout = options.timeoutMs ?? 250;
    this.#options = options;
    this.#prefix = `${options.namespace ?? "gantry"}:`;
    this.#redis = new Redis(url, {
      lazyConnect: true,
      connectTimeout: Math.max(1_000, timeout),
      commandTimeout: timeout,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000),
      reconnectOnError: (error) => error.message.startsWith("READONLY"),
    });
    this.#redis.on("error", (error: Error) => this.#fault("connect", error));
  }

  /** Tries to connect. Resolves in any case, at the latest when a connection attempt has failed. */
  async connect(): Promise<void> {
    await this.#redis.connect().catch((error: unknown) => this.#fault("connect", error));
  }

  async get(space: string, key: string): Promise<string | null> {
    return await this.#try("get", null, () => this.#redis.get(this.#name(space, key)));
  }

  async getMany(space: string, keys: readonly string[]): Promise<(string | null)[]> {
    const none = keys.map(() => null);
    if (keys.length === 0) return none;
    return await this.#try("getMany", none, () => this.#redis.mget(keys.map((key) => this.#name(space, key))));
  }

  async set(space: string, key: string, value: string, ttlSeconds: number): Promise<void> {
    const name = this.#name(space, key);
    await this.#try("set", null, () => (ttlSeconds > 0 ? this.#redis.set(name, value, "PX", Math.ceil(ttlSeconds * 1000)) : this.#redis.set(name, value)));
  }

  async delete(space: string, key: string): Promise<void> {
    await this.#try("delete", 0, () => this.#redis.del(this.#name(space, key)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#redis.disconnect();
  }

  #name(space: string, key: string): string {
    return `${this.#prefix}${space}:${key}`;
  }

  async #try<T>(operation: string, otherwise: T, work: () => Promise<T>): Promise<T> {
    if (this.#redis.status !== "ready" || this.#trying || performance.now() < this.#pausedUntil) {
      this.#fault(operation, "not connected");
      return otherwise;
    }
    const trial = this.#pauseMs > 0;
    this.#trying = trial;
    try {
      const value = await work();
      if (trial) this.#pauseMs = 0;
      return value;
    } catch (error) {
      // Many that were under way at once fail together: that is one fault.
      if (trial || this.#pauseMs === 0) {
        this.#pauseMs = Math.min(PAUSE_MS.longest, Math.max(PAUSE_MS.first, this.#pauseMs * 2));
        this.#pausedUntil = performance.now() + this.#pauseMs;
      }
      this.#fault(operation, error);
      return otherwise;
    } finally {
      if (trial) this.#trying = false;
    }
  }

  /** A line at most every ten seconds, with how many faults it stands for. */
  #fault(operation: string, error: unknown): void {
    this.#options.onFault?.(operation);
    this.#unreported++;
    const now = performance.now();
    if (now - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#options.logger.warn({ operation, faults: this.#unreported }, `the digest cache in Redis failed, doing without it: ${describeError(error)}`);
    this.#reportedAt = now;
    this.#unreported = 0;
  }
}

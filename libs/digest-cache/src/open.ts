import { GantryError, systemClock, type Clock, type Logger, silentLogger } from "@gantry/kernel";
import { CountedDigestCache } from "./counted.ts";
import { MemoryDigestCache } from "./memory.ts";
import type { DigestCache } from "./port.ts";

export interface DigestCacheOptions {
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** First part of every key in Redis; default `gantry`. */
  readonly namespace?: string;
  /** Told of every operation on Redis that failed, for counting. */
  readonly onFault?: (operation: string) => void;
}

/**
 * Opens a cache by URL: `memory:` in this process, or `redis://…` and `rediss://…`.
 * A Redis that is away is no error: the cache is empty until it comes.
 */
export async function openDigestCache(url: string, options: DigestCacheOptions = {}): Promise<DigestCache> {
  if (url === "memory:") return new CountedDigestCache(new MemoryDigestCache({ clock: options.clock ?? systemClock }));
  if (!/^rediss?:\/\//.test(url)) throw new GantryError("INVALID", "digest cache: the URL starts with neither memory: nor redis://");
  // Loaded when it is used: a plain start has no need of the client.
  const { RedisDigestCache } = await import("./redis.ts");
  const { logger = silentLogger, namespace, onFault } = options;
  const cache = new RedisDigestCache(url, { logger, ...(namespace === undefined ? {} : { namespace }), ...(onFault === undefined ? {} : { onFault }) });
  await cache.connect();
  return new CountedDigestCache(cache);
}

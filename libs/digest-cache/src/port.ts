/**
 * A cache of facts about digests (which blobs exist where, diff ID ↔ compressed digest, step key → layer).
 * It may forget or be wrong: whoever reads it must verify before relying on it. No method throws because the
 * cache is away: reads answer null, writes do nothing (and the fault is logged and counted).
 */
export interface DigestCache extends AsyncDisposable {
  get(space: string, key: string): Promise<string | null>;
  getMany(space: string, keys: readonly string[]): Promise<(string | null)[]>;
  /** `ttlSeconds` 0: kept until evicted. */
  set(space: string, key: string, value: string, ttlSeconds: number): Promise<void>;
  delete(space: string, key: string): Promise<void>;
}

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { DigestCache } from "./port.ts";

export interface DigestCacheHarness extends AsyncDisposable {
  /** Opens the cache; every call gives an empty one. The suite disposes it. */
  open(): Promise<DigestCache>;
  /** Lets that many seconds pass for everything set before. */
  pass(seconds: number): Promise<void>;
}

/** What every implementation of {@link DigestCache} does. */
export function digestCacheContractSuite(name: string, openHarness: () => Promise<DigestCacheHarness>): void {
  describe(`digest cache: ${name}`, { timeout: 30_000 }, () => {
    let harness: DigestCacheHarness;
    before(async () => { harness = await openHarness(); });
    after(async () => { await harness[Symbol.asyncDispose](); });

    test("what was set is found, by space and key; what was not is null", async () => {
      await using cache = await harness.open();
      await cache.set("diff-id", "sha256:a", "sha256:b ☃", 0);
      await cache.set("chain", "sha256:a", "other", 0);
      assert.equal(await cache.get("diff-id", "sha256:a"), "sha256:b ☃");
      assert.equal(await cache.get("chain", "sha256:a"), "other");
      assert.equal(await cache.get("diff-id", "sha256:c"), null);
      assert.equal(await cache.get("none", "sha256:a"), null);
    });

    test("many at once, in the order asked, missing ones null", async () => {
      await using cache = await harness.open();
      await Promise.all([0, 2, 4].map((n) => cache.set("blob", String(n), `v${n}`, 0)));
      assert.deepEqual(await cache.getMany("blob", ["4", "1", "0", "2", "4"]), ["v4", null, "v0", "v2", "v4"]);
      assert.deepEqual(await cache.getMany("blob", []), []);
      assert.deepEqual(await cache.getMany("none", ["1"]), [null]);
    });

    test("the last one set counts; what was deleted is gone", async () => {
      await using cache = await harness.open();
      await cache.set("blob", "k", "first", 0);
      await cache.set("blob", "k", "second", 0);
      assert.equal(await cache.get("blob", "k"), "second");
      await cache.delete("blob", "k");
      await cache.delete("blob", "never there");
      assert.equal(await cache.get("blob", "k"), null);
      await cache.set("blob", "empty", "", 0);
      assert.equal(await cache.get("blob", "empty"), "");
    });

    test("a time to live ends; without one it does not", async () => {
      await using cache = await harness.open();
      await cache.set("blob", "short", "v", 1);
      await cache.set("blob", "kept", "v", 0);
      await cache.set("blob", "renewed", "v", 1);
      await cache.set("blob", "renewed", "v", 0);
      assert.equal(await cache.get("blob", "short"), "v");
      await harness.pass(1.1);
      assert.deepEqual(await cache.getMany("blob", ["short", "kept", "renewed"]), [null, "v", "v"]);
    });

    test("once disposed it finds nothing, and still does not throw", async () => {
      const cache = await harness.open();
      await cache.set("blob", "k", "v", 0);
      await cache[Symbol.asyncDispose]();
      await cache.set("blob", "k", "v", 0);
      await cache.delete("blob", "other");
      assert.equal(typeof await cache.get("blob", "other"), "object");
      await cache[Symbol.asyncDispose]();
    });
  });
}

/**
 * A reader as the port asks it to be: what the cache says is verified by `verify`, and without it, or with a lie, `compute` answers.
 * The same answer comes out of any cache; implementations and their faults are tested through it.
 */
export async function readThrough(cache: DigestCache, key: string, verify: (value: string) => boolean, compute: () => string): Promise<string> {
  const cached = await cache.get("answer", key);
  if (cached !== null && verify(cached)) return cached;
  const value = compute();
  await cache.set("answer", key, value, 60);
  return value;
}

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sharedRedis, startRedis, uniqueName, waitFor, type TestService } from "@gantry/testkit";
import { Redis } from "ioredis";
import { digestCacheContractSuite, readThrough } from "./contract-suite.ts";
import { openDigestCache } from "./open.ts";
import type { DigestCache } from "./port.ts";

digestCacheContractSuite("Redis", async () => {
  const redis = await sharedRedis();
  return {
    open: () => openDigestCache(redis.url, { namespace: uniqueName("cache") }),
    // Redis has its own clock.
    pass: (seconds) => sleep(seconds * 1000),
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
});

describe("digest cache: Redis at fault", { timeout: 60_000 }, () => {
  let redis: TestService;
  let faults: string[];
  before(async () => { redis = await startRedis(); });
  after(async () => { await redis[Symbol.asyncDispose](); });
  beforeEach(() => { faults = []; });

  const open = () => openDigestCache(redis.url, { onFault: (operation) => faults.push(operation) });
  const read = (cache: DigestCache) => readThrough(cache, "k", (value) => value === "truth", () => "truth");
  const works = (cache: DigestCache) => waitFor(async () => {
    await cache.set("blob", "probe", "v", 60);
    return (await cache.get("blob", "probe")) === "v";
  }, { what: "the cache to work again" });

  test("killed in the middle: answers stay the same and quick, and it is used again when it is back", async () => {
    await using cache = await open();
    assert.equal(await read(cache), "truth");
    await redis.kill();
    const started = performance.now();
    for (let n = 0; n < 50; n++) assert.equal(await read(cache), "truth");
    assert.deepEqual(await cache.getMany("blob", ["a", "b"]), [null, null]);
    await cache.delete("blob", "a");
    assert.ok(performance.now() - started < 2_000);
    await redis.start();
    await works(cache);
    assert.ok(faults.length > 0);
  });

  test("away at the start: opened all the same", async () => {
    await redis.kill();
    await using cache = await open();
    assert.equal(await read(cache), "truth");
    await redis.start();
    await works(cache);
  });

  test("hanging: operations are given up after their timeout, and not waited for again and again", async () => {
    await using cache = await open();
    await works(cache);
    using scope = new DisposableStack();
    const admin = scope.adopt(new Redis(redis.url), (client) => client.disconnect());
    await admin.call("CLIENT", "PAUSE", "1500", "ALL");
    const started = performance.now();
    for (let n = 0; n < 20; n++) assert.equal(await read(cache), "truth");
    const elapsed = performance.now() - started;
    assert.ok(elapsed > 200 && elapsed < 1_400, `${elapsed} ms`);
    assert.ok(faults.includes("get"));
    await works(cache);
  });

  test("hanging while many ask: one at a time tries, the others do without at once", async () => {
    await using cache = await open();
    await works(cache);
    using scope = new DisposableStack();
    const admin = scope.adopt(new Redis(redis.url), (client) => client.disconnect());
    await admin.call("CLIENT", "PAUSE", "3000", "ALL");
    assert.equal(await read(cache), "truth");
    let slow = 0;
    const until = performance.now() + 2_000;
    await Promise.all(Array.from({ length: 20 }, async () => {
      while (performance.now() < until) {
        const started = performance.now();
        await cache.get("blob", "a");
        if (performance.now() - started > 200) slow++;
        await sleep(5);
      }
    }));
    // Pauses of 500 and 1,000 ms: three trials at most, and room for a machine that is busy.
    assert.ok(slow <= 5, `${slow} of them waited`);
    await works(cache);
  });

  test("lies, and values of another kind, change no answer", async () => {
    await using cache = await open();
    using scope = new DisposableStack();
    const admin = scope.adopt(new Redis(redis.url), (client) => client.disconnect());
    await admin.set("gantry:answer:k", "lie");
    assert.equal(await read(cache), "truth");
    await admin.del("gantry:answer:k");
    await admin.rpush("gantry:answer:k", "a list");
    assert.equal(await read(cache), "truth");
    await admin.flushall();
    await sleep(600);
    assert.equal(await read(cache), "truth");
  });
});

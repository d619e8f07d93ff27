import assert from "node:assert/strict";
import test from "node:test";
import { FakeClock } from "@gantry/testkit";
import { digestCacheContractSuite, readThrough } from "./contract-suite.ts";
import { MemoryDigestCache } from "./memory.ts";
import { openDigestCache } from "./open.ts";

digestCacheContractSuite("memory", async () => {
  const clock = new FakeClock();
  return {
    open: async () => openDigestCache("memory:", { clock }),
    pass: (seconds) => clock.advance(seconds * 1000),
    async [Symbol.asyncDispose]() {},
  };
});

test("stays within its bound: what was used least recently goes", async () => {
  await using cache = new MemoryDigestCache({ clock: new FakeClock(), maxCharacters: 300 });
  for (const key of ["a", "b", "c"]) await cache.set("s", key, "x".repeat(90), 0);
  await cache.get("s", "a");
  await cache.set("s", "d", "x".repeat(90), 0);
  assert.deepEqual((await cache.getMany("s", ["a", "b", "c", "d"])).map((value) => value !== null), [true, false, true, true]);
  await cache.set("s", "huge", "x".repeat(1_000), 0);
  assert.equal(await cache.get("s", "huge"), null);
  assert.notEqual(await cache.get("s", "d"), null);
});

test("a lie in it, or its loss, changes no answer", async () => {
  await using cache = await openDigestCache("memory:");
  const read = () => readThrough(cache, "k", (value) => value === "truth", () => "truth");
  assert.equal(await read(), "truth");
  await cache.set("answer", "k", "lie", 0);
  assert.equal(await read(), "truth");
  await cache.delete("answer", "k");
  assert.equal(await read(), "truth");
});

test("an unknown kind of cache is refused", async () => {
  await assert.rejects(openDigestCache("memcached://x"), /memory: nor redis/);
});

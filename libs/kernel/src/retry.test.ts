import assert from "node:assert/strict";
import test from "node:test";
import type { Clock } from "./clock.ts";
import { backoffMs, retry } from "./retry.ts";

function recordingClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  return { slept, now: () => 0, nowNano: () => 0n, sleep: async (ms, signal) => { signal?.throwIfAborted(); slept.push(ms); } };
}

test("delays grow, stay within half and full, and are capped", () => {
  assert.equal(backoffMs(1, () => 0, { baseMs: 100 }), 50);
  assert.equal(backoffMs(3, () => 0, { baseMs: 100 }), 200);
  assert.equal(backoffMs(50, () => 0.999_999, { maxMs: 1000 }) <= 1000, true);
  assert.equal(backoffMs(1_000_000, () => 0, { maxMs: 1000 }), 500);
});

test("retries until it works, telling each attempt", async () => {
  const clock = recordingClock();
  const seen: number[] = [];
  const value = await retry(async (attempt) => {
    seen.push(attempt);
    if (attempt < 3) throw new Error("no");
    return "yes";
  }, { clock, random: () => 0 });
  assert.equal(value, "yes");
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(clock.slept, [50, 100]);
});

test("gives up after its attempts, or at once where retrying is no use", async () => {
  const clock = recordingClock();
  await assert.rejects(retry(async () => { throw new Error("gone"); }, { clock, attempts: 3 }), /gone/);
  assert.equal(clock.slept.length, 2);
  await assert.rejects(retry(async () => { throw new Error("never"); }, { clock, retryable: () => false }), /never/);
  assert.equal(clock.slept.length, 2);
});

test("stops when aborted", async () => {
  const clock = recordingClock();
  const stop = new AbortController();
  await assert.rejects(
    retry(async () => { stop.abort(new Error("stopped")); throw new Error("no"); }, { clock, signal: stop.signal, attempts: 99 }), /stopped/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { look, type Watch } from "./lease.ts";

const EVERY = 500;
const looks = (...seen: [mark: string, at: number][]) => seen.reduce<Watch | null>((watch, [mark, at]) => look(watch, mark, at, EVERY), null)!;

test("a lease is silent for as long as it was seen unchanged", () => {
  assert.equal(looks(["1 1", 0]).silentMs, 0);
  assert.equal(looks(["1 1", 0], ["1 1", 500], ["1 1", 1_000]).silentMs, 1_000);
  assert.equal(looks(["1 1", 0], ["1 1", 500], ["1 2", 1_000]).silentMs, 0);
  assert.equal(looks(["1 1", 0], ["1 1", 500], ["2 1", 1_000], ["2 1", 1_500]).silentMs, 500);
});

test("time in which nobody looked is not silence", () => {
  assert.equal(looks(["1 1", 0], ["1 1", 60_000]).silentMs, 2 * EVERY);
});

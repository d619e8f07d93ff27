import assert from "node:assert/strict";
import { test } from "node:test";
import { logBoundOf } from "./log-bound.ts";

test("what --log-opt says of a log's size, and what holds without it", () => {
  const json = (Config: Record<string, string>) => logBoundOf({ Type: "json-file", Config });
  assert.deepEqual(json({}), { maxBytes: 20_000_000, maxFiles: 5 });
  assert.deepEqual(json({ "max-size": "10m" }), { maxBytes: 10_000_000, maxFiles: 1 });
  assert.deepEqual(json({ "max-size": "1.5 KB", "max-file": "3" }), { maxBytes: 1_500, maxFiles: 3 });
  assert.deepEqual(json({ "max-size": "-1" })!.maxBytes, 0);
  assert.deepEqual(json({ "max-file": "2" }), { maxBytes: 20_000_000, maxFiles: 2 });
  assert.deepEqual(logBoundOf({ Type: "local", Config: { "max-size": "100" } }), { maxBytes: 100, maxFiles: 5 });
  assert.equal(logBoundOf({ Type: "none", Config: {} }), null);
  for (const size of ["x", "10q", "0", "-2", "1e9"]) assert.throws(() => json({ "max-size": size }), { code: "INVALID" }, size);
  assert.throws(() => json({ "max-file": "0" }), { code: "INVALID", message: "max-file cannot be less than 1" });
  assert.throws(() => json({ "max-file": "many" }), { code: "INVALID" });
});

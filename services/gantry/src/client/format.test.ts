import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, ellipsis, humanSize, table } from "./format.ts";

test("sizes have docker's units and three digits", () => {
  assert.deepEqual([0, 29, 1000, 553_000, 54_400_000, 1_190_000_000].map(humanSize), ["0B", "29B", "1kB", "553kB", "54.4MB", "1.19GB"]);
});

test("ages have docker's words", () => {
  assert.deepEqual([0, 32, 75, 33 * 60, 3700, 5 * 3600, 4 * 86400, 150 * 86400, 4 * 365 * 86400].map(ago), [
    "Less than a second ago", "32 seconds ago", "About a minute ago", "33 minutes ago", "About an hour ago", "5 hours ago", "4 days ago", "5 months ago", "4 years ago",
  ]);
});

test("a table pads every column but the last", () => {
  assert.equal(table(["A", "NAME"], [["longer", "x"]]), "A        NAME\nlonger   x\n");
});

test("long text ends in an ellipsis", () => {
  assert.equal(ellipsis("abcdef", 4), "abc…");
  assert.equal(ellipsis("abcd", 4), "abcd");
});

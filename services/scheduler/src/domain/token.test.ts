import assert from "node:assert/strict";
import { test } from "node:test";
import { expiryOf, usedAt } from "./token.ts";

const NOW = Date.UTC(2026, 0, 1, 12);

test("an expiry is a time to come, written one way", () => {
  assert.equal(expiryOf("2026-01-02T00:00:00+02:00", NOW), "2026-01-01T22:00:00.000Z");
  for (const text of ["", "tomorrow", "2026", "2026-13-01T00:00:00Z", "9".repeat(1000)]) assert.throws(() => expiryOf(text, NOW), { code: "INVALID", message: /is no time/ }, text);
  assert.throws(() => expiryOf("2026-01-01T12:00:00Z", NOW), { code: "INVALID", message: /is over/ });
});

test("the last use is kept to ten minutes, and never lies ahead or goes back", () => {
  assert.equal(usedAt(null, "2026-01-01T11:59:59Z", NOW), "2026-01-01T11:50:00.000Z");
  assert.equal(usedAt("2026-01-01T11:50:00.000Z", "2026-01-01T11:59:59Z", NOW), null);
  assert.equal(usedAt("2026-01-01T11:50:00.000Z", "2026-01-01T11:09:59Z", NOW), null);
  assert.equal(usedAt("2026-01-01T11:50:00.000Z", "2026-01-01T12:00:00Z", NOW), "2026-01-01T12:00:00.000Z");
  assert.equal(usedAt(null, "2099-01-01T00:00:00Z", NOW), "2026-01-01T12:00:00.000Z");
  assert.equal(usedAt(null, "nonsense", NOW), null);
});

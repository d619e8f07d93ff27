import assert from "node:assert/strict";
import { test } from "node:test";
import { expiry, tokenTable } from "./tokens.ts";

const NOW = Date.UTC(2026, 0, 1);

test("an expiry is a span or a time", () => {
  assert.equal(expiry("45m", NOW), "2026-01-01T00:45:00.000Z");
  assert.equal(expiry("12h", NOW), "2026-01-01T12:00:00.000Z");
  assert.equal(expiry("30d", NOW), "2026-01-31T00:00:00.000Z");
  assert.equal(expiry("2w", NOW), "2026-01-15T00:00:00.000Z");
  assert.equal(expiry("2027-01-31T12:00:00+01:00", NOW), "2027-01-31T11:00:00.000Z");
  for (const text of ["", "0d", "-1d", "30", "30x", "1.5h", "soon", "9999999d", "2027-99-99T00:00:00Z"]) assert.throws(() => expiry(text, NOW), { code: "INVALID", message: /--expires/ }, text);
});

test("the list tells what is expired and what was never used", () => {
  const token = { id: "0123456789abcdef", name: "ci", role: "builder" as const, created: "2025-12-31T23:00:00.000Z", expires: "2026-01-31T00:00:00.000Z", lastUsed: null };
  assert.equal(tokenTable([token, { ...token, name: "", expires: "2026-01-01T00:00:00.000Z", lastUsed: "2025-12-31T23:50:00.000Z" }], NOW), [
    "ID                 NAME   ROLE      CREATED             EXPIRES                LAST USED",
    "0123456789abcdef   ci     builder   About an hour ago   2026-01-31T00:00:00Z   never",
    "0123456789abcdef          builder   About an hour ago   expired                10 minutes ago",
    "",
  ].join("\n"));
});

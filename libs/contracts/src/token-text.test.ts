import assert from "node:assert/strict";
import { test } from "node:test";
import { newToken, parseToken } from "./token-text.ts";

test("a token's text tells its ID and the hash of its secret", () => {
  const token = newToken();
  assert.match(token.text, /^gantry_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(parseToken(token.text), { id: token.id, hash: token.hash });
  assert.notEqual(newToken().text, token.text);
  assert.ok(!token.text.includes(token.hash));
});

test("what is no token is none", () => {
  const { text } = newToken();
  for (const other of ["", "gantry_", text.slice(1), text.slice(0, -1), `${text}a`, ` ${text}`, `${text}\n`, text.replace("gantry", "Gantry"), "x".repeat(100_000)]) {
    assert.equal(parseToken(other), null, other.slice(0, 80));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { matches } from "./search.ts";

test("every word must be found, in any field and case", () => {
  const fields = ["web-1", "nginx:latest", "running"];
  assert.ok(matches("", fields));
  assert.ok(matches(" NGINX web ", fields));
  assert.ok(!matches("nginx exited", fields));
});

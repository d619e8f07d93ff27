import assert from "node:assert/strict";
import test from "node:test";
import { pathTemplate } from "./client.ts";

test("IDs, digests and queries are no part of a path's template", () => {
  const id = "ab".repeat(32);
  assert.equal(pathTemplate(`/v1/blobs/sha256:${id}`), "/v1/blobs/{digest}");
  assert.equal(pathTemplate(`/v1/containers/${id}/logs?follow=1`), "/v1/containers/{id}/logs");
  assert.equal(pathTemplate("/v1/builds/0af7651916cd/logs?from=3"), "/v1/builds/{id}/logs");
  assert.equal(pathTemplate("/v1/exec/123e4567-e89b-42d3-a456-426614174000/start"), "/v1/exec/{id}/start");
  assert.equal(pathTemplate("/v1/images/load"), "/v1/images/load");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { openRig } from "../../test-rig.ts";

test("the OpenAPI document and its page are served, without anything from elsewhere", async () => {
  await using rig = await openRig();
  const document = await rig.request("GET", "/docs/json");
  assert.equal(document.status, 200);
  assert.equal(document.json["openapi"], "3.1.0");
  assert.deepEqual(document.json["security"], [{ token: [] }]);
  const page = await rig.request("GET", "/docs");
  const at = page.status === 302 ? await rig.request("GET", new URL(page.headers.location!, "http://x/docs").pathname) : page;
  assert.equal(at.status, 200);
  assert.match(at.text, /swagger-ui/);
  const links = [...at.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
  assert.ok(links.length > 0);
  for (const link of links) assert.equal((await rig.request("GET", new URL(link, "http://x/docs/").pathname)).status, 200, link);
  assert.ok(links.every((link) => !/^(?:https?:)?\/\//.test(link)), links.join(" "));
});

test("errors under /v1 are problem documents", async () => {
  await using rig = await openRig();
  const missing = await rig.request("GET", "/v1/nothing?x=1");
  assert.equal(missing.status, 404);
  assert.match(missing.headers["content-type"]!, /^application\/problem\+json/);
  assert.deepEqual(missing.json, { type: "/docs/problems#NOT_FOUND", title: "Not Found", status: 404, detail: "there is no GET /v1/nothing", code: "NOT_FOUND", instance: "/v1/nothing" });
  assert.match((await rig.request("GET", "/docs/problems")).text, /id="NOT_FOUND"/);
  assert.equal((await rig.request("GET", "/v1.24/nothing")).message, "page not found");
});

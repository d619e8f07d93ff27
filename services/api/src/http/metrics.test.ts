import assert from "node:assert/strict";
import test from "node:test";
import { parsePrometheusText } from "@gantry/testkit";
import { openRig } from "../test-rig.ts";

test("GET /metrics is Prometheus' text format, and counts requests by route", async () => {
  await using rig = await openRig();
  assert.equal((await rig.request("GET", "/v1.51/containers/ID%20OF%20NONE/json")).status, 503);
  assert.equal((await rig.request("GET", "/docs/json")).status, 200);
  const page = await rig.request("GET", "/metrics");
  assert.equal(page.status, 200);
  assert.equal(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  const requests = parsePrometheusText(page.text).get("http_server_request_duration_seconds");
  const counts = requests?.samples.filter(({ name }) => name.endsWith("_count")).map(({ labels, value }) => [labels["service"], labels["http_route"], labels["http_response_status_code"], value]);
  assert.deepEqual(counts, [["api", "/containers/:id/json", "503", 1], ["api", "/docs/json", "200", 1]]);
});

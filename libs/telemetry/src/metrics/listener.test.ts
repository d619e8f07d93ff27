import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import test from "node:test";
import { freePort, parsePrometheusText } from "@gantry/testkit";
import { listenForMetrics } from "./listener.ts";

function get(options: object): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    request(options, (response) => { text(response).then((body) => resolve({ status: response.statusCode, body }), reject); }).on("error", reject).end();
  });
}

test("serves metrics, and only these, on a unix socket for its owner", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-metrics-"));
  try {
    const socketPath = join(dir, "metrics.sock");
    await using _listener = await listenForMetrics(`unix:${socketPath}`);
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    const page = await get({ socketPath, path: "/metrics" });
    assert.equal(page.status, 200);
    assert.ok(parsePrometheusText(page.body).has("process_memory_usage_bytes"));
    assert.equal((await get({ socketPath, path: "/" })).status, 404);
    assert.equal((await get({ socketPath, path: "/metrics", method: "POST" })).status, 405);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("on loopback it wants loopback's name, and it listens nowhere else", async () => {
  const port = await freePort();
  await using _listener = await listenForMetrics(`127.0.0.1:${port}`);
  assert.equal((await get({ host: "127.0.0.1", port, path: "/metrics" })).status, 200);
  assert.equal((await get({ host: "127.0.0.1", port, path: "/metrics", headers: { host: "rebound.example" } })).status, 403);
  await assert.rejects(listenForMetrics(`127.0.0.1:${port}`), { code: "UNAVAILABLE" });
  for (const address of ["0.0.0.0:9464", "10.0.0.1:9464", "9464", "127.0.0.1:99999", "example.org:1"]) await assert.rejects(listenForMetrics(address), { code: "INVALID" });
});

/** Metrics of every process of a cluster, as Prometheus reads them, and the trace IDs of log lines; nothing is exported. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { waitFor } from "@gantry/testkit";
import { requestSocket } from "../support/http.ts";
import { checkAgainstCatalogue, metricsOf, sum, type Families } from "../support/metrics.ts";
import { clientTrace, dockerWithin } from "../support/traces.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(async () => { await bed[Symbol.asyncDispose](); });

type Pages = ReadonlyMap<string, Families>;

/** By process name. */
async function pages(): Promise<Pages> {
  return new Map(await Promise.all(bed.services.map(async (name) => [name, await metricsOf(bed.metricsSocket(name))] as const)));
}

/** Over the processes whose name begins so. */
const total = (all: Pages, processes: string, sample: string, labels: Record<string, string> = {}): number =>
  [...all].filter(([name]) => name.startsWith(processes)).reduce((some, [, families]) => some + sum(families, sample, labels), 0);

test("every service serves its metrics: names, units, types and labels are the catalogue's, and no label holds an ID", async () => {
  const all = await pages();
  assert.deepEqual([...all.keys()].toSorted(), ["agent-1", "agent-2", "agent-3", "api", "image-store", "scheduler-1", "scheduler-2", "worker-1", "worker-2"]);
  for (const [name, families] of all) {
    checkAgainstCatalogue(families);
    assert.ok(sum(families, "process_memory_usage_bytes") > 10_000_000, name);
    assert.ok(sum(families, "process_cpu_time_seconds_total") > 0, name);
    assert.ok(families.has("nodejs_eventloop_delay_seconds"), name);
    assert.ok(sum(families, "process_open_file_descriptor_count") > 3, name);
  }
  const about = [...all].map(([name, families]) => [name, families.get("target_info")?.samples[0]?.labels["service_name"]]);
  assert.deepEqual(Object.fromEntries(about), {
    api: "api", "image-store": "image-store", "scheduler-1": "scheduler", "scheduler-2": "scheduler", "worker-1": "build", "worker-2": "build", "agent-1": "node-agent", "agent-2": "node-agent", "agent-3": "node-agent",
  });
});

test("the API serves its metrics on its own address too", async () => {
  checkAgainstCatalogue(await metricsOf(bed.socket));
  assert.equal((await requestSocket(bed.metricsSocket("scheduler-1"), "GET", "/")).status, 404);
});

test("one scheduler is the active one, and sees every node", async () => {
  const all = await pages();
  const leaders = ["scheduler-1", "scheduler-2"].filter((name) => sum(all.get(name)!, "gantry_scheduler_leader") === 1);
  assert.equal(leaders.length, 1);
  assert.equal(total(all, "scheduler", "gantry_scheduler_nodes", { state: "ready" }), 3);
  assert.ok(sum(all.get(leaders[0]!)!, "gantry_scheduler_epoch") > 0);
});

test("what a container and a build do is counted where it happens", async (t) => {
  const name = "metrics-counted";
  t.after(() => bed.docker(["rm", "-f", name]));
  const before = await pages();
  await bed.ok(["run", "--rm", "busybox", "false"]).then(() => assert.fail("false succeeds"), () => {});
  await bed.ok(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
  await bed.ok(["build", "-t", "metrics-built", "-"], { input: "FROM busybox\nRUN echo counted\nCMD true\n", env: { DOCKER_BUILDKIT: "0" } });
  t.after(() => bed.docker(["rmi", "metrics-built"]));
  const grown = (all: Pages) => (processes: string, sample: string, labels: Record<string, string> = {}) => total(all, processes, sample, labels) - total(before, processes, sample, labels);
  // Counts follow what the client sees.
  const after = await waitFor(async () => {
    const all = await pages();
    return grown(all)("worker", "gantry_builds_total", { result: "succeeded" }) === 1 && grown(all)("agent", "gantry_container_exits_total", { reason: "error" }) === 1 ? all : null;
  }, { what: "the build and the exit to be counted" });
  const grew = grown(after);
  assert.equal(grew("scheduler", "gantry_scheduler_placements_total", { outcome: "placed" }), 2);
  assert.equal(grew("agent", "gantry_container_start_duration_seconds_count", { outcome: "ok" }), 2);
  assert.equal(grew("agent", "gantry_containers", { state: "running" }), 1);
  assert.equal(grew("api", "http_server_request_duration_seconds_count", { http_route: "/containers/create", http_response_status_code: "201" }), 2);
  assert.equal(grew("worker", "gantry_build_steps_total"), 3);
  assert.equal(grew("worker", "gantry_build_queue_wait_seconds_count"), 1);
  assert.equal(grew("worker", "gantry_build_duration_seconds_count"), 1);
  assert.ok(grew("image-store", "messaging_process_duration_seconds_count", { gantry_message_name: "image-store.image.put.v1" }) >= 1);
  assert.ok(grew("agent", "messaging_process_duration_seconds_count", { messaging_destination_name: "node.{id}", gantry_message_name: "node.container.start.v1" }) >= 2);
  assert.ok(total(after, "image-store", "gantry_image_store_layers_size_bytes") > 100_000);
  for (const families of after.values()) checkAgainstCatalogue(families);
});

test("log lines carry the client's trace ID from process to process, though nothing is exported", async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), "gantry-logs-"));
  t.after(() => rmSync(scratch, { recursive: true }));
  const client = clientTrace();
  const built = await bed.docker(["build", "-q", "-"], { input: "FROM busybox\nLABEL logged=yes\n", env: dockerWithin(client, scratch) });
  assert.equal(built.code, 0, built.stderr);
  const lines = ["worker-1", "worker-2"].flatMap((name) => readFileSync(bed.log(name), "utf8").split("\n")).filter((line) => line.includes(client.traceId));
  assert.deepEqual(lines.filter((line) => line.includes('"build succeeded"')).map((line) => (JSON.parse(line) as Record<string, unknown>)["trace_id"]), [client.traceId]);
});

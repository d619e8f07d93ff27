import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startOtlpReceiver, waitFor, type OtlpReceiver } from "@gantry/testkit";
import { checkAgainstCatalogue, metricsOf, sum, type Families } from "../support/metrics.ts";
import { clientTrace, dockerWithin, wholeTrace } from "../support/traces.ts";
import { Engine } from "./support/engine.ts";

let receiver: OtlpReceiver;
let engine: Engine;

before(async () => {
  receiver = await startOtlpReceiver();
  engine = await Engine.start({ env: receiver.env });
  await waitFor(() => receiver.instances.size === 1, { timeout: 30_000, what: "the engine to export" });
  await engine.loadBase("busybox");
});

after(async () => {
  await engine?.[Symbol.asyncDispose]();
  await receiver?.[Symbol.asyncDispose]();
});

const metrics = (): Promise<Families> => metricsOf(engine.socket);

test("a build is one trace, from the client's own through the queue to each step", async () => {
  const client = clientTrace(), { traceId, caller } = client;
  const context = join(engine.dir, "context");
  mkdirSync(context);
  writeFileSync(join(context, "Dockerfile"), "FROM busybox\nCOPY file /file\nRUN echo made > /made\nENV A=1\n");
  writeFileSync(join(context, "file"), "here\n");
  const built = await engine.docker(["build", "-t", "traced", context], { env: dockerWithin(client, engine.dir) });
  assert.equal(built.code, 0, built.stderr);
  const trace = await wholeTrace(receiver, traceId, caller, (it) => { it.one("POST /build"); it.one("build"); });
  const api = trace.one("POST /build");
  assert.equal(api.parentId, caller);
  assert.deepEqual([api.kind, api.attributes["http.route"], api.attributes["http.response.status_code"]], ["server", "/build", 200]);
  const queued = trace.one("send job.build.job.run.v1");
  assert.equal(queued.kind, "producer");
  trace.below(queued, "gantry: process build", "gantry: send build", "gantry: POST /build");
  const taken = trace.one("process job.build.job.run.v1");
  assert.deepEqual([taken.kind, taken.parentId], ["consumer", queued.spanId]);
  const build = trace.one("build");
  trace.below(build, "gantry: process build", "gantry: send build", "gantry: POST /build");
  assert.equal(build.attributes["gantry.build.result"], "succeeded");
  for (const [name, number] of [["FROM", 1], ["COPY", 2], ["RUN", 3], ["ENV", 4]] as const) {
    const step = trace.one(`build step ${name}`);
    assert.deepEqual([step.parentId, step.attributes["gantry.build.step.number"], step.failed], [build.spanId, number, false]);
  }
  assert.ok(trace.all("process image-store").every((span) => span.kind === "consumer"));
});

test("a docker run is one trace, though the command sends no context", async () => {
  await engine.ok(["run", "--rm", "--name", "traced-run", "busybox", "true"]);
  const create = await waitFor(() => receiver.spans.findLast(({ name }) => name === "POST /containers/create"));
  const trace = await wholeTrace(receiver, create.traceId, "", (it) => it.one("POST /containers/:id/start"));
  assert.equal(create.parentId, null);
  const started = trace.one("start container");
  trace.below(started, "gantry: process node.{id}", "gantry: send node.{id}", "gantry: process scheduler", "gantry: send scheduler", "gantry: POST /containers/:id/start", "gantry: POST /containers/create");
  assert.ok(Number(started.attributes["process.pid"]) > 1);
  trace.one("POST /containers/:id/wait");
  trace.one("POST /containers/:id/attach");
});

test("what fails is marked with its code", async () => {
  const client = clientTrace(), { traceId, caller } = client;
  const run = await engine.docker(["run", "--rm", "busybox", "/no/such/program"], { env: dockerWithin(client, engine.dir) });
  assert.equal(run.code, 127);
  const trace = await wholeTrace(receiver, traceId, caller, (it) => it.one("POST /containers/:id/start"));
  const started = trace.one("start container");
  assert.deepEqual([started.failed, started.attributes["error.type"]], [true, "START_FAILED"]);
  const sent = trace.all("send scheduler").find(({ attributes }) => attributes["gantry.message.name"] === "scheduler.container.start.v1");
  assert.deepEqual([sent?.failed, sent?.attributes["error.type"]], [true, "START_FAILED"]);
});

test("metrics count what happened, and reach the collector too", async () => {
  const before = await metrics();
  await engine.ok(["run", "--rm", "busybox", "true"]);
  const name = "counted";
  await engine.ok(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
  const after = await metrics();
  await engine.ok(["rm", "-f", name]);
  const grew = (sample: string, labels: Record<string, string> = {}) => sum(after, sample, labels) - sum(before, sample, labels);
  assert.equal(grew("gantry_container_start_duration_seconds_count", { outcome: "ok" }), 2);
  assert.equal(grew("gantry_container_exits_total", { reason: "success" }), 1);
  assert.equal(grew("gantry_containers", { state: "running" }), 1);
  assert.equal(grew("gantry_scheduler_placements_total", { outcome: "placed" }), 2);
  assert.equal(grew("http_server_request_duration_seconds_count", { service: "api", http_route: "/containers/create", http_response_status_code: "201" }), 2);
  assert.equal(grew("messaging_process_duration_seconds_count", { messaging_destination_name: "node.{id}", gantry_message_name: "node.container.start.v1" }), 2);
  assert.equal(sum(after, "gantry_builds_total", { result: "succeeded" }), 1);
  assert.equal(sum(after, "gantry_build_steps_total", { outcome: "run" }), 4);
  assert.equal(sum(after, "gantry_scheduler_leader"), 1);
  assert.equal(sum(after, "gantry_scheduler_nodes", { state: "ready" }), 1);
  assert.ok(sum(after, "gantry_image_store_layers_size_bytes") > 100_000);
  assert.deepEqual(after.get("target_info")?.samples[0]?.labels["service_name"], "gantry");
  await waitFor(() => receiver.metrics.has("gantry.container.start.duration") && receiver.metrics.has("process.memory.usage"), { what: "metrics at the collector" });
});

test("names, types and labels are the catalogue's, and no label holds an ID", async () => {
  checkAgainstCatalogue(await metrics());
});

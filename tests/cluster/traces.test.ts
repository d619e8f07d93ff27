/** Whole traces over all processes of a cluster, as a collector gets them. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startOtlpReceiver, waitFor, type OtlpReceiver, type ReceivedSpan } from "@gantry/testkit";
import { eventually } from "../support/command.ts";
import { requestSocket } from "../support/http.ts";
import { clientTrace, dockerWithin, type Trace, wholeTrace } from "../support/traces.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
let scratch: string;
let receiver: OtlpReceiver;

/** All services anew, sending to the receiver or nowhere. */
async function restartAll(env: Readonly<Record<string, string>>): Promise<void> {
  const running = bed.processes().filter(({ name, pid }) => pid !== null && bed.services.includes(name));
  await Promise.all(running.map(({ name }) => bed.kill(name)));
  for (const name of bed.services) await bed.start(name, env);
  await bed.ready();
}

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "gantry-traces-"));
  bed = await sharedTestbed();
  receiver = await startOtlpReceiver({ host: bed.machineAddress });
  await restartAll(receiver.env);
  await waitFor(() => receiver.instances.size === bed.services.length, { timeout: 60_000, what: "every process to export" });
});

after(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await receiver?.[Symbol.asyncDispose]();
  await restartAll({});
  await bed.docker(["image", "prune", "-f"]);
  await bed[Symbol.asyncDispose]();
});

function context(name: string, dockerfile: string): string {
  const dir = join(scratch, name);
  mkdirSync(dir);
  writeFileSync(join(dir, "Dockerfile"), dockerfile);
  writeFileSync(join(dir, "file"), `of ${name}\n`);
  return dir;
}

const stepsOf = (trace: Trace): ReceivedSpan[] => trace.all(/^build step /).toSorted((a, b) => Number(a.attributes["gantry.build.step.number"]) - Number(b.attributes["gantry.build.step.number"]));
const lineOf = (step: ReceivedSpan) => step.attributes["gantry.build.step.instruction"];

test("docker build: one trace through api, queue, worker, each step and the image store", async () => {
  const client = clientTrace();
  const lines = ["FROM busybox", "COPY file /file", "RUN echo made > /made", "RUN cat /file /made", "CMD cat /made"];
  const built = await bed.docker(["build", "--no-cache", "-t", "traced", context("traced", `${lines.join("\n")}\n`)], { env: dockerWithin(client, scratch) });
  assert.equal(built.code, 0, built.stderr);
  const trace = await wholeTrace(receiver, client.traceId, client.caller, (it) => { it.one("POST /build"); it.one("build"); });

  const api = trace.one("POST /build");
  assert.deepEqual([api.service, api.kind, api.parentId, api.attributes["http.response.status_code"]], ["api", "server", client.caller, 200]);

  // The build service that takes the job need not be the one that does it.
  const queued = trace.one("send job.build.job.run.v1"), taken = trace.one("process job.build.job.run.v1");
  assert.deepEqual([queued.service, queued.kind], ["build", "producer"]);
  trace.below(queued, "build: process build", "api: send build", "api: POST /build");
  assert.deepEqual([taken.service, taken.kind, taken.parentId, taken.attributes["messaging.system"]], ["build", "consumer", queued.spanId, "rabbitmq"]);

  const build = trace.one("build");
  trace.below(build, "build: process build", "api: send build", "api: POST /build");
  assert.equal(build.instance, taken.instance);
  assert.deepEqual(build.links.map(({ spanId }) => spanId), [taken.spanId]);
  assert.deepEqual([build.attributes["gantry.build.result"], build.attributes["gantry.build.attempt"], build.attributes["gantry.build.worker"]], ["succeeded", 1, build.instance]);

  const steps = stepsOf(trace);
  assert.deepEqual(steps.map(lineOf), lines);
  for (const [i, step] of steps.entries()) {
    assert.deepEqual([step.parentId, step.instance, step.failed, step.attributes["gantry.build.step.number"], step.attributes["gantry.build.step.cached"]], [build.spanId, build.instance, false, i + 1, i === 0 ? step.attributes["gantry.build.step.cached"] : false]);
  }

  // Blobs go over HTTP: the context from the api, the layers from the worker; decisions over the bus.
  const stored = trace.all(/^POST \/v1\/blobs/).filter(({ kind }) => kind === "server");
  assert.ok(stored.every(({ service }) => service === "image-store"));
  assert.deepEqual([...new Set(stored.map((span) => trace.parent(span)?.service))].toSorted(), ["api", "build"]);
  for (const span of stored) assert.equal(trace.parent(span)?.kind, "client");
  assert.ok(trace.all("process image-store").some(({ attributes }) => attributes["gantry.message.name"] === "image-store.image.put.v1"));
  for (const span of trace.all("process image-store")) assert.ok(["client", "producer"].includes(trace.parent(span)!.kind));
});

test("docker run: one trace from the api through placement and the node's agent to the container's program", async () => {
  const since = receiver.spans.length;
  await bed.ok(["run", "--rm", "--name", "traced-run", "busybox", "true"]);
  const create = await eventually("the span of the creation", async () => receiver.spans.slice(since).find(({ name }) => name === "POST /containers/create") ?? null);
  const trace = await wholeTrace(receiver, create.traceId, "", (it) => { it.one("POST /containers/:id/start"); it.one("POST /containers/:id/wait"); });
  assert.equal(create.parentId, null, "the command sends no trace of its own");
  const placed = trace.one("place container");
  trace.below(placed, "scheduler: process scheduler", "api: send scheduler", "api: POST /containers/create");
  const node = placed.attributes["gantry.node.id"];
  const started = trace.one("start container");
  trace.below(started, "node-agent: process node.{id}", "scheduler: send node.{id}", "scheduler: process scheduler", "api: send scheduler", "api: POST /containers/:id/start", "api: POST /containers/create");
  assert.equal(started.instance, node);
  assert.ok(Number(started.attributes["process.pid"]) > 1);
  const attached = trace.all("POST /v1/containers/{id}/attach").find(({ kind }) => kind === "server")!;
  assert.deepEqual([attached.service, attached.instance, attached.attributes["http.response.status_code"]], ["node-agent", node, 101]);
  trace.below(attached, "api: POST /v1/containers/{id}/attach", "api: POST /containers/:id/attach", "api: POST /containers/create");
});

test("POST /v1/builds goes on with the client's trace", async () => {
  const client = clientTrace();
  const { status, body } = await requestSocket(bed.socket, "POST", "/v1/builds", { headers: { traceparent: client.traceparent }, json: { dockerfileText: "FROM busybox\nRUN echo by the jobs API\n", noCache: true } });
  assert.equal(status, 202, body);
  const trace = await wholeTrace(receiver, client.traceId, client.caller, (it) => it.one("build"));
  assert.equal(trace.one("POST /v1/builds").parentId, client.caller);
  trace.below(trace.one("build"), "build: process build", "api: send build", "api: POST /v1/builds");
  assert.deepEqual(stepsOf(trace).map(lineOf), ["FROM busybox", "RUN echo by the jobs API"]);
});

/** Within this, what a killed worker had sent has been handled; only it would have told of the spans above. Its lease goes on for longer. */
const SENT_MS = 2_000;

test("a build whose worker is killed goes on in the same trace", async () => {
  const client = clientTrace();
  const building = bed.docker(
    ["build", "--no-cache", "-t", "traced-killed", context("killed", "FROM busybox\nRUN echo first > /first\nRUN i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line-$i; sleep 0.1; done\n")],
    { env: dockerWithin(client, scratch), timeoutMs: 120_000 });
  const get = async (path: string) => (await requestSocket(bed.socket, "GET", path, { headers: { accept: "application/json, text/plain" } })).body;
  const worker = await eventually("the third step to have told something", async () => {
    const [build] = (JSON.parse(await get("/v1/builds?tag=traced-killed&limit=1")) as { builds: { id: string; state: string; worker: string | null }[] }).builds;
    return build?.state === "running" && (await get(`/v1/builds/${build.id}/logs?follow=false`)).includes("line-5\n") ? build.worker : null;
  });
  await bed.kill(worker);
  const killedAt = Date.now();
  const { code, stdout, stderr } = await building;
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const trace = await wholeTrace(receiver, client.traceId, client.caller, (it) => { it.one("POST /build"); it.one("build"); }, { before: killedAt + SENT_MS });
  const build = trace.one("build");
  assert.deepEqual([build.attributes["gantry.build.attempt"], build.attributes["gantry.build.result"]], [2, "succeeded"]);
  assert.notEqual(build.instance, worker);
  trace.below(build, "build: process build", "api: send build", "api: POST /build");
  const steps = stepsOf(trace).filter(({ instance }) => instance === build.instance);
  assert.deepEqual(steps.map((step) => [step.attributes["gantry.build.step.number"], step.attributes["gantry.build.step.cached"], step.parentId]), [[1, false, build.spanId], [2, true, build.spanId], [3, false, build.spanId]], "what was finished is not done again");
  await bed.start(worker, receiver.env);
});

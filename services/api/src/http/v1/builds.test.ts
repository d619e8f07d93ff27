import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { on } from "@gantry/bus";
import {
  blobStat, buildCancel, buildGet, type BuildJob, buildList, buildLogs, buildResolve, buildRetry, type BuildSpec, buildSteps, buildSubmit, fail,
} from "@gantry/contracts";
import { openRig, type Rig } from "../../test-rig.ts";

const ID = "ab".repeat(32);
const IMAGE = `sha256:${"1".repeat(64)}`;
const line = (seq: number, row: object) => `${JSON.stringify({ seq, ...row })}\n`;
const row = (seq: number, step: number, text: string) => line(seq, { step, message: { stream: text } });
const END = { state: "succeeded", imageId: IMAGE, error: null };

const SPEC: BuildSpec = {
  context: null, dockerfile: "Dockerfile", tags: ["app"], buildArgs: {}, labels: { team: "x" }, target: "", noCache: false, pull: false, rm: true, forceRm: true, quiet: false, cacheFrom: [],
  networkMode: "default", extraHosts: [], memory: 0, cpuShares: 0, shmSize: 0, squash: false, platform: "", auth: {},
};
const JOB: BuildJob = {
  id: ID, state: "running", spec: SPEC, imageId: null, error: null, attempts: 2, createdAt: "2026-01-01T00:00:00Z", startedAt: "2026-01-01T00:00:01Z", finishedAt: "2026-01-01T00:00:03.5Z",
  worker: "w1", step: 1, steps: 2, retryOf: null, cancelling: false,
};

interface Seen { readonly submitted: { id: string; spec: BuildSpec }[]; readonly lists: object[]; readonly cancelled: string[]; readonly retried: object[] }

async function serve(rig: Rig): Promise<Seen> {
  const seen: Seen = { submitted: [], lists: [], cancelled: [], retried: [] };
  await rig.serve([
    on(buildSubmit, async ({ id, spec }) => {
      if (spec.target === "full") throw fail("QUEUE_FULL", "1000 builds are waiting already");
      seen.submitted.push({ id, spec });
      return { id, logs: rig.services };
    }),
    on(buildGet, async ({ id }) => ({ ...JOB, id, spec: seen.submitted.find((one) => one.id === id)?.spec ?? SPEC })),
    on(buildSteps, async () => ({ steps: [{ number: 1, instruction: "FROM x", state: "cached" as const, imageId: IMAGE, worker: "w1", attempt: 1, startedAt: "2026-01-01T00:00:01Z", finishedAt: "2026-01-01T00:00:01.25Z", error: null }] })),
    on(buildList, async (query) => { seen.lists.push(query); return { jobs: [JOB], next: "1-x" }; }),
    on(buildResolve, async ({ prefix }) => { if (!ID.startsWith(prefix)) throw fail("NO_SUCH_BUILD", `No such build: ${prefix}`); return { id: ID }; }),
    on(buildLogs, async () => ({ logs: rig.services })),
    on(buildCancel, async ({ id }) => { seen.cancelled.push(id); return {}; }),
    on(buildRetry, async (body) => { seen.retried.push(body); return { id: body.id, logs: rig.services }; }),
    on(blobStat, async ({ digest }) => ({ size: (await rig.content.stat(digest))?.size ?? null })),
  ]);
  return seen;
}

function send(rig: Rig, path: string, type: string, body: Buffer | string, headers: Record<string, string> = {}): Promise<{ status: number; json: Record<string, unknown>; headers: http.IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: rig.socket, method: "POST", path, agent: false, headers: { "content-type": type, ...headers } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => { text += chunk; }).on("end", () => resolve({ status: response.statusCode!, json: JSON.parse(text) as Record<string, unknown>, headers: response.headers }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

test("a context in the body, with parameters in the query", async () => {
  await using rig = await openRig();
  const { submitted } = await serve(rig);
  const answer = await send(rig, "/v1/builds?tag=a&tag=b:2&buildArg=A=1=2&label=l=v&noCache=true&memory=1024&dockerfile=x/D&push=true", "application/x-tar", "a tar");
  assert.equal(answer.status, 202, JSON.stringify(answer.json));
  const { id, spec } = submitted[0]!;
  assert.equal(answer.headers.location, `/v1/builds/${id}`);
  assert.deepEqual([answer.json["id"], answer.json["state"], answer.json["durationMs"]], [id, "running", 2500]);
  assert.deepEqual([spec.tags, spec.buildArgs, spec.labels, spec.noCache, spec.memory, spec.dockerfile, spec.push], [["a", "b:2"], { A: "1=2" }, { l: "v" }, true, 1024, "x/D", true]);
  assert.equal((await rig.content.stat(spec.context!))?.size, 5);
  const one = await send(rig, "/v1/builds?tag=only", "application/gzip", "x");
  assert.equal(one.status, 202);
  assert.deepEqual(submitted[1]!.spec.tags, ["only"]);
});

test("a context that is stored already, by its digest; a Dockerfile as text; the same key is the same build", async () => {
  await using rig = await openRig();
  const { submitted } = await serve(rig);
  const stored = await send(rig, "/v1/blobs", "application/octet-stream", "context");
  assert.equal(stored.status, 201);
  const digest = stored.json["digest"] as string;
  assert.equal((await rig.request("GET", `/v1/blobs/${digest}`)).json["size"], 7);
  assert.equal((await rig.request("GET", `/v1/blobs/sha256:${"0".repeat(64)}`)).json["code"], "NO_SUCH_BLOB");
  const body = JSON.stringify({ context: { digest }, tags: ["t"], auth: { "r.example": { username: "me", password: "p" } } });
  const first = await send(rig, "/v1/builds", "application/json", body, { "idempotency-key": "k1" });
  const again = await send(rig, "/v1/builds", "application/json", body, { "idempotency-key": "k1" });
  const other = await send(rig, "/v1/builds", "application/json", body, { "idempotency-key": "k2" });
  assert.equal(first.status, 202, JSON.stringify(first.json));
  assert.equal(first.json["id"], again.json["id"]);
  assert.notEqual(first.json["id"], other.json["id"]);
  assert.deepEqual([submitted[0]!.spec.context, submitted[0]!.spec.auth], [digest, { "r.example": { username: "me", password: "p" } }]);
  assert.equal((await send(rig, "/v1/builds", "application/json", JSON.stringify({ dockerfileText: "FROM scratch\n" }))).status, 202);
  assert.deepEqual([submitted[3]!.spec.context, submitted[3]!.spec.dockerfileText], [null, "FROM scratch\n"]);
});

test("what is wrong is said in a problem document", async () => {
  await using rig = await openRig();
  await serve(rig);
  const refusals: [string, string, string, number, string, RegExp][] = [
    ["/v1/builds", "application/json", "{", 400, "INVALID", /JSON/],
    ["/v1/builds", "application/json", "{}", 400, "INVALID", /give a context, or a dockerfileText/],
    ["/v1/builds", "application/json", '{"tags":[1]}', 400, "INVALID", /^body\/tags\/0 must be string/],
    ["/v1/builds", "application/json", '{"tag":"x"}', 400, "INVALID", /^body\/tag is not known$/],
    ["/v1/builds", "application/json", '{"dockerfileText":"x","tags":["A B"]}', 400, "INVALID", /A B/],
    ["/v1/builds", "application/json", `{"context":{"digest":"sha256:${"0".repeat(64)}"}}`, 404, "NO_SUCH_BLOB", /POST \/v1\/blobs/],
    ["/v1/builds?memory=much", "application/x-tar", "x", 400, "INVALID", /^querystring\/memory must be integer/],
    ["/v1/builds", "text/html", "x", 415, "INVALID", /media type/i],
    ["/v1/builds?target=full", "application/x-tar", "x", 503, "QUEUE_FULL", /waiting already/],
  ];
  for (const [path, type, body, status, code, detail] of refusals) {
    const answer = await send(rig, path, type, body);
    assert.deepEqual([answer.status, answer.json["status"], answer.json["code"]], [status, status, code], JSON.stringify(answer.json));
    assert.match(String(answer.json["detail"]), detail);
    assert.match(answer.headers["content-type"]!, /^application\/problem\+json/);
    if (code === "QUEUE_FULL") assert.equal(answer.headers["retry-after"], "5");
  }
  assert.equal((await rig.request("GET", "/v1/builds/ffff")).json["code"], "NO_SUCH_BUILD");
});

test("lists, one with its steps, cancel and retry", async () => {
  await using rig = await openRig();
  const seen = await serve(rig);
  const page = await rig.request("GET", "/v1/builds?state=queued&state=running&label=team=x&limit=5&cursor=c");
  assert.equal(page.status, 200, page.text);
  assert.deepEqual(seen.lists, [{ states: ["queued", "running"], label: "team=x", limit: 5, cursor: "c" }]);
  assert.deepEqual([(page.json["builds"] as { id: string }[]).map(({ id }) => id), page.json["next"]], [[ID], "1-x"]);
  assert.equal((await rig.request("GET", "/v1/builds?state=queued")).status, 200);
  const one = await rig.request("GET", "/v1/builds/abab");
  assert.deepEqual([one.json["id"], one.json["attempts"], one.json["worker"], one.json["dockerfile"]], [ID, 2, "w1", "Dockerfile"]);
  assert.deepEqual((one.json["steps"] as Record<string, unknown>[]).map(({ number, state, cached, durationMs, imageId }) => [number, state, cached, durationMs, imageId]), [[1, "cached", true, 250, IMAGE]]);
  assert.equal((await rig.request("POST", "/v1/builds/abab/cancel")).status, 202);
  assert.deepEqual(seen.cancelled, [ID]);
  const retried = await rig.request("POST", `/v1/builds/${ID}/retry`);
  assert.equal(retried.status, 202, retried.text);
  assert.deepEqual(seen.retried, [{ id: retried.json["id"], of: ID, auth: {} }]);
});

test("logs as server-sent events from any point, and as text; another service goes on where one breaks off", async () => {
  const asked: string[] = [];
  await using rig = await openRig((request, response) => {
    const from = new URL(request.url!, "http://x").searchParams.get("from");
    asked.push(from!);
    if (from === "0") {
      response.write(`${row(0, 1, "one\n")}\n${row(1, 1, "two\n")}`);
      return void setTimeout(() => response.destroy(), 50);
    }
    response.end(row(2, 2, "three\n") + line(3, { end: END }));
  });
  await serve(rig);
  const whole = await rig.request("GET", `/v1/builds/${ID}/logs`);
  assert.equal(whole.headers["content-type"], "text/event-stream");
  const events = whole.text.replaceAll(":\n\n", "").trim().split("\n\n").map((event) => event.split("\n").map((text) => text.slice(text.indexOf(" ") + 1)));
  assert.deepEqual(events.map(([id, name, data]) => [id, name, JSON.parse(data!)]), [
    ["0", "log", { step: 1, message: { stream: "one\n" } }], ["1", "log", { step: 1, message: { stream: "two\n" } }], ["2", "log", { step: 2, message: { stream: "three\n" } }], ["3", "end", END],
  ]);
  assert.deepEqual(asked, ["0", "2"]);
  const rest = await rig.request("GET", `/v1/builds/${ID}/logs`, { headers: { "last-event-id": "1" } });
  assert.match(rest.text, /^:\n\nid: 2\n/);
  assert.equal((await rig.request("GET", `/v1/builds/${ID}/logs`, { headers: { accept: "text/plain" } })).text, "one\ntwo\nthree\n");
});

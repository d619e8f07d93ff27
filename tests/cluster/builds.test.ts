/** Builds on several workers that are killed, stopped and restarted under them, and whose servers are. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { eventually } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

/** Jobs of the long test; more on request. */
const JOBS = Number(process.env["GANTRY_TEST_BUILDS"] ?? "200");
const KILL_EVERY_MS = 5_000;

let bed: Testbed;
let scratch: string;
before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "gantry-cluster-builds-"));
  bed = await sharedTestbed();
});
after(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await bed.docker(["image", "prune", "-f"]);
  await bed[Symbol.asyncDispose]();
});

interface Step { readonly number: number; readonly state: string; readonly attempt: number; readonly worker: string | null }
interface Build { readonly id: string; readonly state: string; readonly error: string | null; readonly attempts: number; readonly worker: string | null; readonly imageId: string | null; readonly steps: readonly Step[]; readonly retryOf: string | null }

/** Asks again while nobody serves, as when all workers are being started: the key makes one build of it. */
async function api<T>(method: string, path: string, body?: object): Promise<T> {
  const key = randomUUID();
  const { status, answer } = await eventually(`${method} ${path}`, async () => {
    const got = await request(method, path, body, key);
    return got.status === 503 ? null : got;
  });
  assert.ok(status < 300, `${method} ${path}: ${status} ${answer}`);
  return answer.startsWith("{") ? JSON.parse(answer) as T : answer as T;
}

async function request(method: string, path: string, body: object | undefined, key: string): Promise<{ status: number; answer: string }> {
  const socketPath = bed.env["DOCKER_HOST"]!.replace("unix://", "");
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const sent = http.request({ socketPath, method, path, agent: false, headers: { accept: "application/json, text/plain", "idempotency-key": key, ...(body === undefined ? {} : { "content-type": "application/json" }) } }, resolve);
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
  return { status: response.statusCode!, answer: await text(response) };
}

const submit = (dockerfileText: string, more: object = {}): Promise<Build> => api("POST", "/v1/builds", { dockerfileText, ...more });
const get = (id: string): Promise<Build> => api("GET", `/v1/builds/${id}`);
const logs = (id: string, from = 0): Promise<string> => api("GET", `/v1/builds/${id}/logs?from=${from}&follow=false`);

async function ended(id: string, timeoutMs = 90_000): Promise<Build> {
  return await eventually(`the end of build ${id}`, async () => {
    const build = await get(id);
    return ["succeeded", "failed", "cancelled"].includes(build.state) ? build : null;
  }, timeoutMs);
}

/** The build's worker, once its step `number` runs and has written something. */
async function workerAt(tag: string, number: number, word: string): Promise<{ id: string; worker: string }> {
  return await eventually(`step ${number} of ${tag}`, async () => {
    const { builds } = await api<{ builds: Build[] }>("GET", `/v1/builds?tag=${tag}&limit=1`);
    const [build] = builds;
    if (build === undefined || build.state !== "running" || build.worker === null || !(await logs(build.id)).includes(word)) return null;
    return { id: build.id, worker: build.worker };
  });
}

const dockerBuild = (tag: string, dockerfile: string) => {
  const dir = join(scratch, tag);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "Dockerfile"), dockerfile);
  return bed.docker(["build", "--no-cache", "-t", tag, dir], { env: { DOCKER_BUILDKIT: "0" }, timeoutMs: 180_000 });
};

const COUNT = (n: number, seconds: string) => `i=0; while [ $i -lt ${n} ]; do i=$((i+1)); echo line-$i; sleep ${seconds}; done`;

/** What `docker build` printed of a build that was interrupted: every line once, but that its program ran again. */
function checkWhole(stdout: string, steps: number, lines: number): void {
  const told = stdout.split("\n");
  for (let n = 1; n <= steps; n++) assert.equal(told.filter((line) => line.startsWith(`Step ${n}/${steps} : `)).length, 1, `header ${n}\n${stdout}`);
  assert.deepEqual(told.filter((line) => line.startsWith("line-")), Array.from({ length: lines }, (_, i) => `line-${i + 1}`), stdout);
  assert.equal(told.filter((line) => line.startsWith("Successfully built ")).length, 1);
  const images = told.filter((line) => /^ ---> [0-9a-f]{12}$/.test(line));
  assert.equal(images.length, steps, stdout);
}

test("SIGKILL of a worker in the middle of a step: another goes on from the last finished step, and docker build sees one stream", async (t) => {
  t.after(() => bed.ready());
  const building = dockerBuild("killed", `FROM busybox\nRUN echo first > /first\nRUN ${COUNT(40, "0.1")}; date > /made\nCMD cat /made\n`);
  const { id, worker } = await workerAt("killed", 3, "line-5\n");
  const killedAt = performance.now();
  await bed.kill(worker);
  await eventually("another worker to take it", async () => { const build = await get(id); return build.worker !== null && build.worker !== worker; });
  const tookMs = performance.now() - killedAt;
  const { code, stdout, stderr } = await building;
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  checkWhole(stdout, 4, 40);
  assert.ok(tookMs < 9_000, `taken over after ${Math.round(tookMs)} ms, before its lease was over`);
  const build = await get(id);
  assert.equal(build.attempts, 2);
  assert.deepEqual(build.steps.map(({ attempt }) => attempt), [1, 1, 2, 2], "steps that were finished are not done again");
  await bed.start(worker);
  await bed.ready();
  await noLeftovers();
});

/** No step runs, and no snapshot of one is left, on any worker. */
async function noLeftovers(): Promise<void> {
  for (const host of Object.keys(bed.hosts).filter((name) => name.startsWith("worker-"))) {
    await eventually(`no leftovers on ${host}`, async () => {
      const { stdout } = await bed.exec(host, "sh", ["-c", `cd ${bed.hosts[host]!.dir} && find . \\( -path '*/steps/*' -o -path '*/spool/*' -o -path '*/snapshots/s/*' \\) -prune -print`]);
      return stdout.trim() === "";
    }, 20_000);
  }
}

test("a worker that is paused past its lease writes nothing when it goes on: no line, no result, no tag", async (t) => {
  t.after(() => bed.ready());
  const { id } = await submit(`FROM busybox\nRUN ${COUNT(30, "0.1")}; date > /made\n`, { tags: ["paused"], noCache: true });
  const { worker } = await workerAt("paused", 2, "line-3\n");
  await bed.kill(worker, "SIGSTOP");
  const build = await ended(id);
  assert.deepEqual([build.state, build.error, build.attempts], ["succeeded", null, 2]);
  const before = await logs(id);
  const tagged = await bed.ok(["image", "inspect", "-f", "{{.Id}}", "paused"]);
  assert.equal(tagged, build.imageId);
  await bed.kill(worker, "SIGCONT");
  await eventually("it to know that the build is not its own any more", async () => readFileSync(bed.log(worker), "utf8").includes("another worker has it"));
  assert.equal(await logs(id), before);
  assert.deepEqual(await get(id), build);
  assert.equal(await bed.ok(["image", "inspect", "-f", "{{.Id}}", "paused"]), tagged);
});

test("restarts of RabbitMQ, Redis and PostgreSQL during a build: it ends well", async (t) => {
  t.after(() => bed.ready());
  const building = dockerBuild("restarts", `FROM busybox\nRUN ${COUNT(150, "0.1")}\nRUN echo done > /done\nCMD cat /done\n`);
  const { id } = await workerAt("restarts", 2, "line-3\n");
  for (const server of ["rabbit", "redis", "postgres"]) await bed.restart(server);
  const { code, stdout, stderr } = await building;
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  checkWhole(stdout, 4, 150);
  assert.equal((await get(id)).state, "succeeded");
});

test("cancel in the middle of a step, and retry", async () => {
  const { id } = await submit(`FROM busybox\nRUN echo begun-cancel; sleep 600\n`, { tags: ["cancelled"] });
  await workerAt("cancelled", 2, "begun-cancel\n");
  await api("POST", `/v1/builds/${id}/cancel`);
  const build = await ended(id);
  assert.deepEqual([build.state, build.steps.map(({ state }) => state)], ["cancelled", ["done", "cancelled"]]);
  await noLeftovers();
  const again = await api<Build>("POST", `/v1/builds/${id}/retry`);
  assert.notEqual(again.id, id);
  assert.equal((await get(again.id)).retryOf, id);
  await workerAt("cancelled", 2, "begun-cancel\n");
  await api("POST", `/v1/builds/${again.id}/cancel`);
  assert.equal((await ended(again.id)).state, "cancelled");
});

test(`${JOBS} builds with a worker killed every ${KILL_EVERY_MS / 1000} s: ${JOBS} results, each right`, { timeout: 900_000 }, async (t) => {
  t.after(() => bed.ready());
  const over = new AbortController();
  const workers = ["worker-1", "worker-2"];
  const kill = (async () => {
    for (let round = 0; !over.signal.aborted; round++) {
      await new Promise((resolve) => setTimeout(resolve, KILL_EVERY_MS));
      if (over.signal.aborted) return round;
      const worker = workers[round % workers.length]!;
      await bed.kill(worker);
      await bed.start(worker);
    }
    return 0;
  })();
  const jobs: Build[] = [];
  try {
    for (let n = 0; n < JOBS; n += 20) {
      jobs.push(...await Promise.all(Array.from({ length: Math.min(20, JOBS - n) }, (_, i) => submit(`FROM busybox\nLABEL number=${n + i}\nRUN echo result-${n + i}\n`, { tags: [`many:${n + i}`], labels: { run: "many" } }))));
    }
    const results = [];
    for (const { id } of jobs) results.push(await ended(id, 600_000));
    assert.deepEqual(results.filter(({ state }) => state !== "succeeded").map(({ id, error }) => ({ id, error })), []);
    assert.deepEqual([...new Set(results.map(({ worker }) => worker))].toSorted(), workers, "both workers share the load");
    for (const [n, { id, imageId }] of results.entries()) {
      const log = (await logs(id)).split("\n");
      for (const word of [`Step 3/4 : RUN echo result-${n}`, "Successfully built", `Successfully tagged many:${n}`]) assert.equal(log.filter((line) => line.startsWith(word)).length, 1, `${word} once\n${log.join("\n")}`);
      assert.equal(log.filter((line) => line === `result-${n}`).length, 1, log.join("\n"));
      const image = await api<{ Id: string; Config: { Labels: Record<string, string> } }>("GET", `/images/many:${n}/json`);
      assert.deepEqual([image.Id, image.Config.Labels["number"]], [imageId, String(n)]);
    }
  } finally {
    over.abort();
    t.diagnostic(`${await kill} workers killed`);
    await bed.ready();
  }
  await noLeftovers();
});

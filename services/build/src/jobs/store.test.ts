import assert from "node:assert/strict";
import { after, test as nodeTest } from "node:test";
import { createLocalBus, on } from "@gantry/bus";
import { buildProgress, buildRun, type BuildSpec } from "@gantry/contracts";
import { openDatabase, relayOutbox } from "@gantry/database";
import { newId, silentLogger, systemClock, type Clock } from "@gantry/kernel";
import { sharedPostgres, uniqueName } from "@gantry/testkit";
import { LeaseWatch } from "../domain/job.ts";
import { outputRow, rowsOf, type LogRow } from "../domain/messages.ts";
import { JobLog } from "./log.ts";
import { JobReader } from "./reader.ts";
import { migrations, type BuildDatabase } from "./schema.ts";
import { JobSignals } from "./signals.ts";
import { type Claim, JobStore } from "./store.ts";
import { Upkeep } from "./upkeep.ts";

const SPEC: BuildSpec = {
  context: null, dockerfile: "Dockerfile", tags: [], buildArgs: {}, labels: {}, target: "", noCache: false, pull: false, rm: true, forceRm: false, quiet: false, cacheFrom: [],
  networkMode: "", extraHosts: [], memory: 0, cpuShares: 0, shmSize: 0, squash: false, platform: "", auth: { r: { password: "secret" } },
};
const IMAGE = `sha256:${"a".repeat(64)}`;
const MAX_QUEUED = 6;

/** Each test runs over both databases. */
const postgres = await sharedPostgres();
after(() => postgres[Symbol.asyncDispose]());
const DATABASES = { SQLite: () => ({ url: "sqlite::memory:", service: "build" }), PostgreSQL: () => ({ url: postgres.url, service: uniqueName("build") }) };

function test(name: string, run: (it: Awaited<ReturnType<typeof setUp>>) => Promise<void>): void {
  for (const [kind, place] of Object.entries(DATABASES)) {
    nodeTest(`${kind}: ${name}`, async () => {
      await using it = await setUp(place());
      await run(it);
    });
  }
}

async function setUp({ url, service }: { url: string; service: string }) {
  const scope = new AsyncDisposableStack();
  let now = 1_000_000;
  const clock: Clock = { ...systemClock, now: () => now, nowNano: () => BigInt(now) * 1_000_000n };
  const bus = scope.use(createLocalBus({ service: "test", clock: systemClock, logger: silentLogger }));
  const database = scope.use(await openDatabase<BuildDatabase>(url, { service, migrations }));
  scope.use(relayOutbox(database, bus, { logger: silentLogger }));
  const store = new JobStore({ database, clock, maxQueued: MAX_QUEUED });
  const upkeep = new Upkeep({ database, store, clock, maxStalled: 2 });
  const submit = async (spec: Partial<BuildSpec> = {}): Promise<string> => {
    const id = newId();
    await store.submit(id, { ...SPEC, ...spec });
    now += 1000;
    return id;
  };
  const logOf = (claim: Claim, maxBytes = 1 << 20): JobLog => new JobLog({
    bus, clock, store, signals: new JobSignals(), logger: silentLogger, claim, maxBytes, signal: new AbortController().signal, onLost: () => {},
  });
  return { scope, bus, database, clock, store, upkeep, submit, logOf, reader: new JobReader(database), pass: (ms: number) => { now += ms; }, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

const line = (step: number, text: string): LogRow[] => rowsOf(step, { stream: text });
const batch = (seq: number, ...rows: LogRow[]) => ({ seq, rows, steps: [], progress: { step: 1, steps: 3 } });
const OK = { state: "succeeded", imageId: IMAGE, error: null } as const;

test("a job has one worker: what an epoch that is over writes is refused", async ({ store, upkeep, reader, submit, pass }) => {
  const id = await submit();
  const claims = (await Promise.all([store.claim("w1"), store.claim("w2")])).filter((claim) => claim !== null);
  assert.equal(claims.length, 1, "only one of two gets it");
  const first = claims[0]!;
  assert.deepEqual([first.id, first.attempt, first.resumed], [id, 1, null]);
  await store.append(first, batch(0, ...line(1, "a"), ...line(2, "b")));
  await store.append(first, batch(0, ...line(1, "a"), ...line(2, "b")));
  pass(1);
  const [seen] = await upkeep.leases();
  assert.equal(await store.renew(first), "ok");
  assert.equal(await upkeep.takeAway(seen!), false, "its lease was held on since");
  assert.equal(await upkeep.takeAway((await upkeep.leases())[0]!), true);
  assert.equal((await reader.get(id)).state, "queued");
  assert.equal(await store.renew(first), "lost");
  await assert.rejects(store.append(first, batch(2, ...line(2, "late"))), { code: "STALE_EPOCH" });
  const second = (await store.claim("w2"))!;
  assert.deepEqual([second.attempt, second.epoch, second.nextSeq, second.resumed?.told], [2, 2, 2, { step: 2, rows: line(2, "b") }]);
  await assert.rejects(store.finish(first, OK, batch(2)), { code: "STALE_EPOCH" });
  await store.release(first, false);
  await store.append(second, batch(2, ...line(3, "c")));
  await store.finish(second, OK, batch(3, ...line(4, "d")));
  await store.finish(second, OK, batch(3, ...line(4, "d")));
  const { rows, end } = await reader.read(id, 1, 100);
  assert.deepEqual(rows, [{ seq: 1, step: 2, message: { stream: "b" } }, { seq: 2, step: 3, message: { stream: "c" } }, { seq: 3, step: 4, message: { stream: "d" } }]);
  assert.deepEqual(end, { seq: 4, ...OK });
  const job = await reader.get(id);
  assert.deepEqual([job.attempts, job.worker, job.step, job.steps, job.spec.auth], [2, "w2", 1, 3, {}]);
  assert.equal(await store.claim("w1"), null, "what is over is over");
});

test("the oldest job is claimed first, and before it those that lost their worker; each by one worker only", async ({ store, upkeep, submit }) => {
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.push(await submit());
  const first = (await store.claim("w1"))!;
  assert.equal(first.id, ids[0]);
  assert.equal((await store.claim("w2"))?.id, ids[1]);
  assert.equal(await upkeep.takeBack("w1"), 1);
  assert.equal((await store.claim("w2"))?.id, ids[0]);
  const rest = await Promise.all(Array.from({ length: 4 }, (_, i) => store.claim(`w${i}`)));
  assert.deepEqual(rest.flatMap((claim) => (claim === null ? [] : [claim.id])).sort(), ids.slice(2).sort());
});

test("a step whose workers are lost again and again fails the job; a finished step begins a new count", async ({ store, upkeep, reader, logOf, submit }) => {
  const id = await submit();
  const one = (await store.claim("w1"))!;
  const log = logOf(one);
  log.plan([{ number: 1, instruction: "FROM x" }, { number: 2, instruction: "RUN y" }]);
  log.begin(1);
  await log.end(1, "done", IMAGE, null);
  log.begin(2);
  await log.flush();
  for (let attempt = 1; attempt <= 2; attempt++) {
    assert.equal((await reader.get(id)).state, "running");
    assert.equal(await upkeep.takeBack("w1"), 1);
    if (attempt === 1) assert.deepEqual((await store.claim("w1"))?.resumed?.steps.map(({ state, imageId }) => [state, imageId]), [["done", IMAGE], ["running", null]]);
  }
  const job = await reader.get(id);
  assert.equal(job.state, "failed");
  assert.match(job.error!, /^step 2 was begun 2 times, and each time its worker was lost$/);
  assert.deepEqual((await store.steps(id)).map(({ state }) => state), ["done", "failed"]);
});

test("a step is over when its image is stored, and the lines after it are told then", async ({ store, reader, logOf, submit }) => {
  const id = await submit();
  const log = logOf((await store.claim("w1"))!);
  log.plan([{ number: 1, instruction: "FROM x" }]);
  log.begin(1);
  const stored = Promise.withResolvers<void>();
  const over = log.end(1, "done", IMAGE, stored.promise);
  log.write(...line(1, "told later"));
  let told = false;
  void over.then(() => { told = true; });
  while ((await store.steps(id))[0]?.state !== "running") await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([(await reader.read(id, 0, 10)).rows, told], [[], false]);
  stored.resolve();
  await over;
  await log.flush();
  assert.equal((await reader.read(id, 0, 10)).rows.length, 1);
  const [step] = await store.steps(id);
  assert.deepEqual([step?.state, step?.imageId, step?.worker, step?.attempt, step?.instruction], ["done", IMAGE, "w1", 1, "FROM x"]);
});

test("a released job costs no attempt; a lost message is sent again; a database that was not seen proves nothing", async ({ store, upkeep, submit, pass }) => {
  await submit();
  const claim = await store.claim("w1");
  await store.release(claim!, false);
  assert.equal((await store.claim("w1"))?.attempt, 1);
  const watch = new LeaseWatch();
  const leases = await upkeep.leases();
  assert.deepEqual([...watch.look(leases, 100).values()], [0]);
  assert.deepEqual([...watch.look(leases, 500).values()], [400]);
  watch.blind();
  assert.deepEqual([...watch.look(leases, 9000).values()], [0]);
  await submit();
  assert.equal(await upkeep.offerAgain(60_000), 0);
  pass(20_000);
  assert.equal(await upkeep.offerAgain(20_000), 1);
  assert.equal(await upkeep.offerAgain(20_000), 0);
});

test("the queue and the followers are told, in the transaction", async (it) => {
  const offered: string[] = [];
  const states: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  it.scope.use(await it.bus.work(on(buildRun, async (body) => { offered.push(body.id); return body; })));
  it.scope.use(await it.bus.subscribe([on(buildProgress, async (body) => { states.push(body.state); if (body.state === "cancelled") resolve(); return body; })]));
  const id = await it.submit();
  await it.store.cancel(id);
  await promise;
  assert.deepEqual(states, ["cancelled"]);
  assert.deepEqual(offered, [id]);
  await it.submit();
  const claim = await it.store.claim("w1");
  await it.store.cancel(claim!.id);
  assert.equal(await it.store.renew(claim!), "cancelled");
  assert.equal((await it.reader.get(claim!.id)).cancelling, true);
  await it.upkeep.takeBack("w1");
  assert.equal((await it.reader.get(claim!.id)).state, "cancelled", "who asked for it gets it, also when the worker is lost");
});

test("an ID belongs to one request; the queue is bounded", async ({ store, submit }) => {
  const id = newId();
  await Promise.all([store.submit(id, SPEC), store.submit(id, { ...SPEC, auth: {} })]);
  await assert.rejects(store.submit(id, { ...SPEC, target: "other" }), { code: "CONFLICT" });
  for (let i = 1; i < MAX_QUEUED; i++) await submit();
  await assert.rejects(submit(), { code: "QUEUE_FULL", message: /^6 builds are waiting already/ });
  await store.submit(id, SPEC);
});

test("lists: filters and pages", async ({ store, reader, submit }) => {
  const a = await submit({ tags: ["app", "app:2"], labels: { team: "x", ci: "" } });
  const b = await submit({ tags: ["other"], labels: { team: "y" } });
  const c = await submit({ tags: ["app:latest"] });
  await store.cancel(b);
  const list = async (query: object): Promise<string[]> => (await reader.list({ limit: 10, ...query })).jobs.map(({ id }) => id);
  assert.deepEqual(await list({}), [c, b, a]);
  assert.deepEqual(await list({ tag: "docker.io/library/app" }), [c, a]);
  assert.deepEqual(await list({ tag: "app:2" }), [a]);
  assert.deepEqual(await list({ label: "team" }), [b, a]);
  assert.deepEqual(await list({ label: "team=y" }), [b]);
  assert.deepEqual(await list({ states: ["queued", "running"] }), [c, a]);
  const pages: string[][] = [];
  let cursor: string | undefined;
  do {
    const { jobs, next } = await reader.list({ limit: 2, cursor });
    pages.push(jobs.map(({ id }) => id));
    cursor = next ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(pages, [[c, b], [a]]);
  await assert.rejects(reader.list({ limit: 1, cursor: "x" }), { code: "INVALID" });
});

test("a log goes to the database in batches, in order, and says when it is clipped", async ({ store, reader, logOf, submit }) => {
  const id = await submit();
  const claim = (await store.claim("w1"))!;
  const log = logOf(claim, 1024 * 1024);
  for (let i = 0; i < 5000; i++) log.write(outputRow(1, "stdout", `${i}\n`));
  await log.ready();
  log.write(outputRow(1, "stdout", "x".repeat(1024 * 1024)), outputRow(1, "stderr", "y"), ...rowsOf(1, { error: "kept" }));
  await log.flush();
  const { rows } = await reader.read(id, 4999, 10);
  assert.deepEqual(rows.map((row) => row.message), [{ stream: "4999\n" }, { stream: "\n[output clipped, log limit 1MiB reached]\n" }, { error: "kept" }]);
});

test("finished jobs are forgotten by age, by number and by the size of their logs", async ({ store, upkeep, reader, database, submit, pass }) => {
  const DAY = 24 * 3600 * 1000;
  const ended = async (): Promise<string> => {
    const id = await submit();
    await store.finish((await store.claim("w"))!, OK, batch(0, ...line(1, "x".repeat(100))));
    return id;
  };
  const all = { days: 100, jobs: 100, logBytes: 1e9 };
  const ids = [await ended(), await ended(), await ended(), await ended()];
  const left = async (): Promise<string[]> => (await reader.list({ limit: 10 })).jobs.map(({ id }) => id).reverse();
  const waiting = await submit();
  assert.equal(await upkeep.prune(all), 0);
  assert.equal(await upkeep.prune({ ...all, jobs: 3 }), 1);
  assert.deepEqual(await left(), [...ids.slice(1), waiting]);
  assert.equal(await upkeep.prune({ ...all, logBytes: 250 }), 1);
  pass(2 * DAY);
  // The oldest is claimed, so it is the one that waited that ends here.
  const late = await ended();
  assert.equal(await upkeep.prune({ ...all, days: 1 }), 2);
  assert.deepEqual(await left(), [waiting, late]);
  assert.equal((await database.query.selectFrom("build_log").selectAll().execute()).length, 1);
});

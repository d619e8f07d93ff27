import assert from "node:assert/strict";
import { after, test as nodeTest } from "node:test";
import { createLocalBus, on } from "@gantry/bus";
import { buildProgress, buildRun, type BuildSpec } from "@gantry/contracts";
import { openDatabase, relayOutbox } from "@gantry/database";
import { newId, silentLogger, systemClock, type Clock } from "@gantry/kernel";
import { sharedPostgres, uniqueName } from "@gantry/testkit";
import { JobLog } from "./log.ts";
import { migrations, type BuildDatabase } from "./schema.ts";
import { JobSignals } from "./signals.ts";
import { JobStore } from "./store.ts";

const SPEC: BuildSpec = {
  context: null, dockerfile: "Dockerfile", tags: [], buildArgs: {}, labels: {}, target: "", noCache: false, pull: false, rm: true, forceRm: false, quiet: false, cacheFrom: [],
  networkMode: "", extraHosts: [], memory: 0, cpuShares: 0, shmSize: 0, squash: false, platform: "", auth: { r: { password: "secret" } },
};
const LEASE = 30_000;

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
  const store = new JobStore({ database, clock, leaseMs: LEASE, maxAttempts: 2 });
  return { scope, bus, database, clock, store, pass: (ms: number) => { now += ms; }, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

test("a job has one worker: the lease holds, runs out, and the old epoch is refused", async (it) => {
  const { store, pass } = it;
  const id = newId();
  await store.submit(id, SPEC);
  await store.submit(id, SPEC);
  const [one, other] = await Promise.all([store.claim(id, "w1"), store.claim(id, "w2")]);
  const first = one ?? other;
  assert.ok(first !== null && (one === null || other === null), "only one of two gets it");
  assert.equal(first.attempt, 1);
  assert.equal(await store.append(first, [{ stream: "a" }, { stream: "b" }], { step: 1, steps: 3 }), 2);

  pass(LEASE - 1);
  assert.equal(await store.renew(first), "ok");
  pass(LEASE - 1);
  assert.equal(await store.claim(id, "w2"), null);
  pass(2);
  assert.equal(await store.requeue(60_000, null), 1);
  assert.equal((await store.get(id)).state, "queued");
  assert.equal(await store.renew(first), "lost");
  await assert.rejects(store.append(first, [{ stream: "late" }], { step: 2, steps: 3 }), { code: "STALE_EPOCH" });
  const second = await store.claim(id, "w2");
  assert.equal(second?.attempt, 2);
  await assert.rejects(store.finish(first, { state: "succeeded", imageId: null, error: null }), { code: "STALE_EPOCH" });
  await store.append(second!, [{ stream: "c" }], { step: 3, steps: 3 });
  await store.finish(second!, { state: "succeeded", imageId: `sha256:${"a".repeat(64)}`, error: null });
  const { rows, end } = await store.read(id, 1, 100);
  assert.deepEqual(rows, [{ seq: 1, message: { stream: "b" } }, { seq: 2, message: { stream: "c" } }]);
  assert.deepEqual(end, { seq: 3, state: "succeeded", imageId: `sha256:${"a".repeat(64)}`, error: null });
  const job = await store.get(id);
  assert.deepEqual([job.attempts, job.worker, job.step, job.steps, job.spec.auth], [2, "w2", 3, 3, {}]);
  assert.equal(await store.claim(id, "w1"), null, "what is over is over");
});

test("a job whose workers are lost again and again fails; a dead worker's jobs come back at once", async (it) => {
  const id = newId();
  await it.store.submit(id, SPEC);
  assert.ok(await it.store.claim(id, "w1"));
  assert.equal(await it.store.requeue(60_000, "w2"), 0);
  assert.equal(await it.store.requeue(60_000, "w1"), 1);
  assert.ok(await it.store.claim(id, "w1"));
  it.pass(LEASE + 1);
  assert.equal(await it.store.claim(id, "w1"), null);
  const job = await it.store.get(id);
  assert.equal(job.state, "failed");
  assert.match(job.error!, /begun 2 times/);
});

test("a released job costs no attempt; a lost message is sent again", async (it) => {
  const id = newId();
  await it.store.submit(id, SPEC);
  const claim = await it.store.claim(id, "w1");
  await it.store.release(claim!);
  assert.equal((await it.store.claim(id, "w1"))?.attempt, 1);
  const waiting = newId();
  await it.store.submit(waiting, SPEC);
  assert.equal(await it.store.requeue(60_000, null), 0);
  it.pass(20_000);
  assert.equal(await it.store.requeue(20_000, null), 1);
});

test("the queue and the followers are told, in the transaction", async (it) => {
  const offered: string[] = [];
  const states: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  it.scope.use(await it.bus.work(on(buildRun, async (body) => { offered.push(body.id); return body; })));
  it.scope.use(await it.bus.subscribe([on(buildProgress, async (body) => { states.push(body.state); if (body.state === "cancelled") resolve(); return body; })]));
  const id = newId();
  await it.store.submit(id, SPEC);
  await it.store.cancel(id);
  await promise;
  assert.deepEqual(states, ["cancelled"]);
  assert.deepEqual(offered, [id]);
  const running = newId();
  await it.store.submit(running, SPEC);
  const claim = await it.store.claim(running, "w1");
  await it.store.cancel(running);
  assert.equal(await it.store.renew(claim!), "cancelled");
});

test("a log goes to the database in batches, in order, and says when it is clipped", async (it) => {
  const id = newId();
  await it.store.submit(id, SPEC);
  const claim = (await it.store.claim(id, "w1"))!;
  const log = new JobLog({ ...it, signals: new JobSignals(), logger: silentLogger, claim, onLost: (e) => { throw e; } });
  for (let i = 0; i < 5000; i++) log.write({ stream: `${i}\n` });
  await log.ready();
  log.write({ stream: "x".repeat(64 * 1024 * 1024) }, { stream: "y" }, { error: "kept" });
  await log.flush();
  const { rows } = await it.store.read(id, 4999, 10);
  assert.deepEqual(rows.map((row) => row.message), [{ stream: "4999\n" }, { stream: "\n[output clipped, log limit 64MiB reached]\n" }, { stream: "y" }, { error: "kept" }]);
});

test("finished jobs are forgotten after a while, but for the newest", async (it) => {
  const ids = [newId(), newId(), newId()];
  for (const id of ids) {
    await it.store.submit(id, SPEC);
    const claim = (await it.store.claim(id, "w"))!;
    await it.store.append(claim, [{ stream: "x" }], { step: 0, steps: 0 });
    await it.store.finish(claim, { state: "succeeded", imageId: null, error: null });
    it.pass(1000);
  }
  await it.store.prune(it.clock.now() + 1, 1);
  assert.deepEqual((await it.store.list(10)).map((job) => job.id), [ids[2]]);
  assert.equal((await it.database.query.selectFrom("build_log").selectAll().execute()).length, 1);
});

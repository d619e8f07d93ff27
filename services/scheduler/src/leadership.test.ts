/** A scheduler that believes to be the active one when it is not: every write and every command of it is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalBus } from "@gantry/bus";
import { nodeContainerCreate, nodeContainerStart, nodeResync } from "@gantry/contracts";
import { openDatabase, type Database } from "@gantry/database";
import { newId, silentLogger, systemClock } from "@gantry/kernel";
import { sharedPostgres, tempDir, uniqueName } from "@gantry/testkit";
import { callNode } from "./call-node.ts";
import { ImageNames } from "./image-names.ts";
import { Leadership, Superseded } from "./leadership.ts";
import { databaseOptions, type SchedulerTables } from "./module.ts";
import { NodeLiveness } from "./node-liveness.ts";
import { PaperNode } from "./testing/paper-node.ts";

const shared = { clock: systemClock, logger: silentLogger };

/** The epoch as the one who takes over writes it. */
async function begin(database: Database<SchedulerTables>, epoch: number): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.deleteFrom("leadership").execute();
    await tx.insertInto("leadership").values({ id: 1, epoch, beat: 0, holder: "other" }).execute();
  });
}

/** Sure of itself for ever, which no scheduler with a lease is. */
function believer(database: Database<SchedulerTables>, epoch: number): Leadership {
  const leadership = new Leadership(database);
  leadership.begin(epoch, Number.POSITIVE_INFINITY);
  return leadership;
}

const addRemoval = (leadership: Leadership, id: string, inTheMidst: () => Promise<void> = async () => {}) =>
  leadership.transaction(async (tx) => {
    await inTheMidst();
    await tx.insertInto("removals").values({ id, node_id: "n1", asked_at: "", volumes: 0 }).execute();
  });
const removals = async (database: Database<SchedulerTables>) => (await database.query.selectFrom("removals").select("id").execute()).map(({ id }) => id);

test("its writes are refused, and it stops", async () => {
  await using scope = new AsyncDisposableStack();
  const database = scope.use(await openDatabase<SchedulerTables>(`sqlite:${tempDir(scope)}`, { ...databaseOptions, ...shared }));
  await begin(database, 1);
  const leadership = believer(database, 1);
  await addRemoval(leadership, "a");
  await begin(database, 2);
  await assert.rejects(addRemoval(leadership, "b"), Superseded);
  assert.deepEqual(await removals(database), ["a"]);
  assert.ok(leadership.term.aborted);
  assert.throws(() => leadership.check(), Superseded);
});

test("PostgreSQL: a write that had begun when another took over is refused too", async () => {
  await using scope = new AsyncDisposableStack();
  const { url } = scope.use(await sharedPostgres());
  const service = uniqueName("leadership").replaceAll("-", "_").slice(0, 40).toLowerCase();
  const open = () => openDatabase<SchedulerTables>(url, { ...databaseOptions, service, ...shared });
  const [database, other] = [scope.use(await open()), scope.use(await open())];
  await begin(database, 1);
  const leadership = believer(database, 1);
  let times = 0;
  await assert.rejects(addRemoval(leadership, "a", async () => {
    if (times++ > 0) return;
    await begin(other, 2);
    // What the next one does on what it sees.
    await other.transaction(async (tx) => {
      const seen = await tx.selectFrom("removals").select("id").execute();
      await tx.insertInto("removals").values({ id: `of two, who saw ${seen.length}`, node_id: "n1", asked_at: "", volumes: 0 }).execute();
    });
  }), Superseded);
  assert.deepEqual(await removals(database), ["of two, who saw 0"]);
});

test("its commands are refused by a node that has heard of the next one, and it stops", async () => {
  await using scope = new AsyncDisposableStack();
  const bus = scope.use(createLocalBus({ service: "scheduler", ...shared }));
  const database = scope.use(await openDatabase<SchedulerTables>(`sqlite:${tempDir(scope)}`, { ...databaseOptions, ...shared }));
  const node = new PaperNode(bus, "n1");
  scope.use(await node.serve());
  const context = (epoch: number) => ({
    ...shared, bus, database, leader: believer(database, epoch), liveness: new NodeLiveness(systemClock), images: new ImageNames(bus), random: Math.random, reserve: "limits" as const,
    restarting: new Set<string>(), ranAndGone: new Set<string>(),
  });
  const [first, second] = [context(1), context(2)];
  const id = newId();
  const body = { id, name: "a", epoch: 1, config: {}, hostConfig: {}, image: { id: `sha256:${"b".repeat(64)}`, config: {}, layers: [], repoTags: [], repoDigests: [], parent: null, size: 0 }, mounts: [], networks: [] };
  await callNode(first, "n1", nodeContainerCreate, body);
  await callNode(second, "n1", nodeResync, { epoch: 2 });
  await assert.rejects(callNode(first, "n1", nodeContainerStart, { id, epoch: 1 }), Superseded);
  assert.equal(node.starts.get(id), undefined);
  assert.ok(first.leader.term.aborted);
  // Not even sent any more.
  await assert.rejects(callNode(first, "n1", nodeContainerStart, { id, epoch: 1 }), Superseded);
  await callNode(second, "n1", nodeContainerStart, { id, epoch: 2 });
  assert.equal(node.starts.get(id), 1);
});

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createLocalBus, LocalBroker, on, type Bus } from "@gantry/bus";
import {
  containerCreate, containerInspect, containerKill, containerList, containerLocate, containerPause, containerPrune, containerRemove, containerRename, containersUsingImage, containerStart,
  containerStop, containerUpdate, dockerEvent, fail, imageResolve, networkCreate, networkInspect, networkList, networkRemove, nodeContainerReport, schedulerInfo, volumeCreate, volumeInspect, volumeList,
  volumePrune, volumeRemove, type DockerEvent,
} from "@gantry/contracts";
import { openDatabase, type Database } from "@gantry/database";
import { isGantryError, newId, silentLogger, systemClock } from "@gantry/kernel";
import { sharedPostgres, tempDir, uniqueName, waitFor } from "@gantry/testkit";
import { databaseOptions, start, type SchedulerTables } from "./module.ts";
import { PaperNode } from "./testing/paper-node.ts";

const IMAGE = `sha256:${"b".repeat(64)}`;
const shared = { clock: systemClock, logger: silentLogger };

interface Setup { bus: Bus; node: PaperNode; events: DockerEvent[]; database: Database<SchedulerTables>; again(): Promise<AsyncDisposable> }

/** A scheduler over its database and a local bus, an image store of one image, and a node on paper. */
async function setUp(scope: AsyncDisposableStack, database: Database<SchedulerTables>): Promise<Setup> {
  const broker = new LocalBroker(silentLogger);
  const busOf = (service: string) => createLocalBus({ service, broker, ...shared });
  const bus = scope.use(busOf("test"));
  scope.use(await bus.serve("image-store", [on(imageResolve, async ({ ref }) => {
    if (ref !== "busybox" && ref !== IMAGE) throw fail("NO_SUCH_IMAGE", `No such image: ${ref}:latest`);
    return { id: IMAGE, config: { os: "linux", config: { Cmd: ["sh"], Volumes: { "/data": {} }, Env: ["A=1"] } }, layers: [], repoTags: [], repoDigests: [], parent: null, size: 100 };
  })]));
  const events: DockerEvent[] = [];
  scope.use(await bus.subscribe([on(dockerEvent, async (event) => { events.push(event); return event; })]));
  const again = async () => {
    const own = new AsyncDisposableStack();
    await start({ concurrency: 64, reserve: "limits" }, { bus: own.use(busOf("scheduler")), database, ...shared }, own);
    return own;
  };
  scope.use(await again());
  const node = new PaperNode(bus, "n1");
  scope.use(await node.serve());
  await node.register();
  return { bus, node, events, database, again };
}

const scope = new AsyncDisposableStack();
let s: Setup;
before(async () => {
  s = await setUp(scope, scope.use(await openDatabase<SchedulerTables>(`sqlite:${tempDir(scope)}`, { ...databaseOptions, ...shared })));
});
after(() => scope.disposeAsync());

async function create(body: Record<string, unknown> = {}, name: string | null = null): Promise<string> {
  const id = newId();
  await s.bus.call(containerCreate, { id, name, body: { Image: "busybox", ...body } });
  return id;
}
const inspect = async (ref: string) => (await s.bus.call(containerInspect, { ref, size: false })).container as { State: { Status: string; ExitCode: number }; Name: string; HostConfig: { NetworkMode: string; Memory: number; MemorySwap: number; RestartPolicy: { Name: string } }; Mounts: { Source: string }[] };
const gone = (ref: string) => waitFor(() => inspect(ref).then(() => false, () => true));
const status = (ref: string, wanted: string) => waitFor(async () => (await inspect(ref)).State.Status === wanted);
const told = (id: string) => s.events.filter((event) => event.Actor.ID === id).map((event) => event.Action);

test("a container's life, its names and its events", async () => {
  const id = await create({ Cmd: ["true"] }, "web");
  await assert.rejects(create({}, "web"), { code: "NAME_IN_USE", message: new RegExp(`"/web" is already in use by container "${id}"`) });
  await assert.rejects(create({ Image: "nope" }), { code: "NO_SUCH_IMAGE" });
  assert.deepEqual(await s.bus.call(containerCreate, { id, name: "web", body: { Image: "busybox" } }), { id, warnings: [] });
  assert.equal((await inspect(id.slice(0, 12))).Name, "/web");
  assert.deepEqual(await s.bus.call(containerStart, { ref: "web" }), { alreadyStarted: false });
  assert.deepEqual(await s.bus.call(containerStart, { ref: "/web" }), { alreadyStarted: true });
  await s.bus.call(containerPause, { ref: id, paused: true });
  await assert.rejects(s.bus.call(containerPause, { ref: id, paused: true }), { code: "CONFLICT" });
  await s.bus.call(containerPause, { ref: id, paused: false });
  await assert.rejects(s.bus.call(containerRemove, { ref: "web", force: false, volumes: false }), { code: "RUNNING", message: /cannot remove container "\/web": container is running/ });
  await s.bus.call(containerRename, { ref: "web", name: "web2" });
  assert.deepEqual(await s.bus.call(containerStop, { ref: "web2", timeout: null, signal: null }), { alreadyStopped: false });
  assert.equal((await s.bus.call(containerLocate, { ref: "web2" })).exitCode, 143);
  await s.bus.call(containerRemove, { ref: "web2", force: false, volumes: true });
  await waitFor(() => told(id).includes("destroy"));
  assert.deepEqual(told(id), ["create", "start", "pause", "unpause", "rename", "die", "stop", "destroy"]);
  await assert.rejects(inspect("web2"), { code: "NO_SUCH_CONTAINER", message: "No such container: web2" });
  assert.deepEqual((await s.bus.call(volumeList, { filters: {} })).volumes, []);
});

test("an update is what the node carried out", async () => {
  const id = await create({ HostConfig: { Memory: 64 << 20 } });
  const body = { Memory: 32 << 20, RestartPolicy: { Name: "always" } };
  s.node.failure = fail("INVALID", "Cannot update container");
  await assert.rejects(s.bus.call(containerUpdate, { ref: id, body }), { code: "INVALID" });
  s.node.failure = null;
  assert.equal((await inspect(id)).HostConfig.Memory, 64 << 20);
  assert.deepEqual(await s.bus.call(containerUpdate, { ref: id, body }), { warnings: [] });
  const { HostConfig } = await inspect(id);
  assert.deepEqual([HostConfig.Memory, HostConfig.MemorySwap, HostConfig.RestartPolicy.Name], [32 << 20, 128 << 20, "always"]);
  assert.deepEqual(s.node.updates.map((update) => update["Memory"]), [32 << 20]);
  await waitFor(() => told(id).includes("update"));
  await assert.rejects(s.bus.call(containerUpdate, { ref: "nobody", body }), { code: "NO_SUCH_CONTAINER" });
  await s.bus.call(containerRemove, { ref: id, force: true, volumes: false });
});

test("older reports change nothing, and each death is told once", async () => {
  const id = await create();
  await s.bus.call(containerStart, { ref: id });
  await s.node.dies(id, 7);
  await status(id, "exited");
  const { seq, state } = s.node.containers.get(id)!;
  await s.bus.publish(nodeContainerReport, { nodeId: "n1", containerId: id, seq: seq - 1, state: { ...state, status: "running" }, action: null, attributes: {} });
  await s.bus.publish(nodeContainerReport, { nodeId: "n1", containerId: id, seq, state, action: "die", attributes: { exitCode: "7" } });
  await s.node.report(id, { restartCount: 1 });
  await waitFor(async () => ((await inspect(id)) as unknown as { RestartCount: number }).RestartCount === 1);
  assert.equal((await inspect(id)).State.Status, "exited");
  assert.equal(told(id).filter((action) => action === "die").length, 1);
  await s.bus.call(containerRemove, { ref: id, force: false, volumes: true });
});

test("--rm: gone after its end, and also when it cannot be started", async () => {
  const id = await create({ HostConfig: { AutoRemove: true } });
  await s.bus.call(containerStart, { ref: id });
  await s.node.dies(id, 0);
  await gone(id);
  assert.ok(!s.node.containers.has(id));
  const broken = await create({ HostConfig: { AutoRemove: true } });
  s.node.failure = fail("START_FAILED", "exec: nosuch");
  await assert.rejects(s.bus.call(containerStart, { ref: broken }), { code: "START_FAILED", message: "exec: nosuch" });
  s.node.failure = null;
  await gone(broken);
});

test("lists, uses and counts", async () => {
  const one = await create({ Labels: { a: "1" } }, "one");
  const two = await create({ Labels: { a: "2" } }, "two");
  await s.bus.call(containerStart, { ref: two });
  const names = async (filters: Record<string, string[]>, all = true, limit: number | null = null) =>
    (await s.bus.call(containerList, { all, limit, size: false, filters })).containers.map((row) => (row["Names"] as string[])[0]);
  assert.deepEqual(await names({}), ["/two", "/one"]);
  assert.deepEqual(await names({}, false), ["/two"]);
  assert.deepEqual(await names({}, false, 1), ["/two"]);
  assert.deepEqual([await names({ label: ["a=1"] }), await names({ status: ["created"] }, false), await names({ before: ["two"] }), await names({ since: ["one"] })], [["/one"], ["/one"], ["/one"], ["/two"]]);
  assert.deepEqual([await names({ ancestor: ["busybox"] }), await names({ ancestor: ["nope"] }), await names({ network: ["bridge"] })], [["/two", "/one"], [], ["/two", "/one"]]);
  const { uses } = await s.bus.call(containersUsingImage, { imageIds: [IMAGE] });
  assert.deepEqual(uses.map((use) => [use.containerId, use.running]).sort(), [[one, false], [two, true]].sort());
  const { containers, running, stopped, nodes } = await s.bus.call(schedulerInfo, {});
  assert.deepEqual([containers, running, stopped, nodes.length], [2, 1, 1, 1]);
  await s.bus.call(containerKill, { ref: two, signal: "KILL" });
  await status(two, "exited");
  const pruned = await s.bus.call(containerPrune, { filters: {} });
  assert.deepEqual([pruned.ids.sort(), pruned.spaceReclaimed], [[one, two].sort(), 10]);
});

test("networks: predefined ones, errors in Docker's words, who is on them", async () => {
  const networks = async (filters = {}) => (await s.bus.call(networkList, { filters })).networks.map((network) => network["Name"]);
  assert.deepEqual((await networks()).sort(), ["bridge", "host", "none"]);
  const id = newId();
  await s.bus.call(networkCreate, { id, body: { Name: "front", Labels: { x: "y" } } });
  await assert.rejects(s.bus.call(networkCreate, { id: newId(), body: { Name: "front" } }), { code: "CONFLICT", message: "network with name front already exists" });
  await assert.rejects(s.bus.call(networkRemove, { ref: "nope" }), { code: "NO_SUCH_NETWORK", message: "network nope not found" });
  await assert.rejects(s.bus.call(networkRemove, { ref: "bridge" }), { code: "FORBIDDEN" });
  assert.deepEqual(await networks({ label: ["x"] }), ["front"]);
  const container = await create({ HostConfig: { NetworkMode: "bridge" } }, "member");
  await s.bus.call(containerStart, { ref: container });
  const { network } = await s.bus.call(networkInspect, { ref: "bridge" });
  assert.equal((network["Containers"] as Record<string, { Name: string }>)[container]?.Name, "member");
  const sharing = await create({ HostConfig: { NetworkMode: "container:member" } });
  assert.equal((await inspect(sharing)).HostConfig.NetworkMode, `container:${container}`);
  await s.bus.call(networkRemove, { ref: id.slice(0, 8) });
  for (const ref of [container, sharing]) await s.bus.call(containerRemove, { ref, force: true, volumes: true });
});

test("volumes: named ones stay and hold, anonymous ones go with their container", async () => {
  // Pruned containers leave theirs, as Docker's do.
  await s.bus.call(volumePrune, { filters: {} });
  const { volume } = await s.bus.call(volumeCreate, { name: "keep", body: { Labels: { a: "b" } } });
  assert.deepEqual([volume["Mountpoint"], volume["Driver"], volume["Scope"]], ["/v/keep", "local", "local"]);
  const id = await create({ HostConfig: { Binds: ["keep:/k"] } });
  assert.deepEqual((await s.bus.call(volumeInspect, { name: "keep" })).volume["Labels"], { a: "b" });
  await assert.rejects(s.bus.call(volumeRemove, { name: "keep", force: false }), { code: "CONFLICT", message: `remove keep: volume is in use - [${id}]` });
  const { volumes } = await s.bus.call(volumeList, { filters: {} });
  assert.equal(volumes.length, 2);
  const other = volumes.find((row) => row["Name"] !== "keep")!;
  assert.match(String(other["Name"]), /^[0-9a-f]{64}$/);
  assert.equal(other["Mountpoint"], `/v/${String(other["Name"])}`);
  await s.bus.call(containerRemove, { ref: id, force: false, volumes: true });
  assert.deepEqual((await s.bus.call(volumeList, { filters: {} })).volumes.map((row) => row["Name"]), ["keep"]);
  assert.deepEqual((await s.bus.call(volumePrune, { filters: {} })).names, []);
  assert.deepEqual((await s.bus.call(volumePrune, { filters: { all: ["1"] } })).names, ["keep"]);
  await assert.rejects(s.bus.call(volumeInspect, { name: "keep" }), { code: "NO_SUCH_VOLUME", message: "get keep: no such volume" });
});

test("records and a node agree again after either was away", async () => {
  const [died, lost, temporary] = [await create(), await create(), await create({ HostConfig: { AutoRemove: true } })];
  for (const ref of [died, lost, temporary]) await s.bus.call(containerStart, { ref });
  s.node.change(died, { status: "exited", exitCode: 9, pid: 0, finishedAt: "2030-01-01T00:00:00Z" });
  s.node.containers.delete(lost);
  s.node.containers.delete(temporary);
  await s.node.register();
  await Promise.all([status(died, "exited"), status(lost, "exited"), gone(temporary)]);
  assert.deepEqual([(await inspect(died)).State.ExitCode, (await inspect(lost)).State.ExitCode], [9, 137]);
  for (const ref of [died, lost]) await s.bus.call(containerRemove, { ref, force: true, volumes: true });
});

test("a second scheduler takes the epoch over, the first takes it back when it is asked, and no write is lost", async () => {
  const before = Math.max(...s.node.epochs);
  const second = await s.again();
  const id = await create({}, "after");
  assert.ok(s.node.epochs.at(-1)! > before);
  await second[Symbol.asyncDispose]();
  await s.bus.call(containerStart, { ref: id });
  assert.equal((await inspect("after")).State.Status, "running");
  await s.bus.call(containerRemove, { ref: id, force: true, volumes: true });
});

test("docker rm -f while the node is unreachable: off the list at once, from the node when it is back, with its volumes only where that was asked for", async () => {
  const [keeps, drops] = await Promise.all(["keeps", "drops"].map((name) => create({ Volumes: { "/data": {} } }, name))) as [string, string];
  const volumeOf = async (ref: string) => (await inspect(ref)).Mounts.map((mount) => (mount as unknown as { Name: string }).Name)[0]!;
  const [kept, dropped] = [await volumeOf(keeps), await volumeOf(drops)];
  s.node.silent = true;
  await waitFor(async () => (await s.bus.call(containerLocate, { ref: keeps })).unreachable !== undefined, { what: "the node to be unreachable", timeout: 30_000 });
  await assert.rejects(s.bus.call(containerStart, { ref: keeps }), { code: "NODE_UNREACHABLE" });
  await assert.rejects(s.bus.call(containerRemove, { ref: keeps, force: false, volumes: false }), /with -f it is taken off the list, and its node removes it then/);
  await s.bus.call(containerRemove, { ref: keeps, force: true, volumes: false });
  await s.bus.call(containerRemove, { ref: drops, force: true, volumes: true });
  await Promise.all([gone(keeps), gone(drops)]);
  assert.deepEqual([s.node.containers.has(keeps), s.node.containers.has(drops)], [true, true]);
  s.node.silent = false;
  await waitFor(() => !s.node.containers.has(keeps) && !s.node.containers.has(drops), { what: "the node to remove them" });
  await waitFor(() => s.bus.call(volumeInspect, { name: dropped }).then(() => false, (e: unknown) => isGantryError(e, "NO_SUCH_VOLUME")), { what: "the volume's record to be gone" });
  assert.equal((await s.bus.call(volumeInspect, { name: kept })).volume["Name"], kept);
  await s.bus.call(volumeRemove, { name: kept, force: false });
});

test("a default bridge whose subnet a host has come to use moves, as long as nobody is on it", async () => {
  const subnet = async () => ((await s.bus.call(networkInspect, { ref: "bridge" })).network["IPAM"] as { Config: { Subnet: string }[] }).Config[0]!.Subnet;
  const first = await subnet();
  s.node.subnets = [first];
  await s.node.register();
  assert.notEqual(await subnet(), first);
});

test("the same on PostgreSQL: records, prefixes, events", async () => {
  await using own = new AsyncDisposableStack();
  const { url } = own.use(await sharedPostgres());
  // A schema of its own: others use the server too.
  const service = uniqueName("scheduler").replaceAll("-", "_").slice(0, 40).toLowerCase();
  const database = own.use(await openDatabase<SchedulerTables>(url, { ...databaseOptions, service, ...shared }));
  const outer = s;
  s = await setUp(own, database);
  try {
    const id = await create({}, "pg");
    await s.bus.call(containerStart, { ref: id.slice(0, 10) });
    await s.node.dies(id, 3);
    await status("pg", "exited");
    await s.bus.call(volumeCreate, { name: "v1", body: {} });
    await s.bus.call(containerRemove, { ref: "pg", force: false, volumes: true });
    await waitFor(() => told(id).includes("destroy"));
    assert.deepEqual(told(id), ["create", "start", "die", "destroy"]);
  } finally {
    s = outer;
  }
});

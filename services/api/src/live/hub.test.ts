import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { type Bus, createLocalBus } from "@gantry/bus";
import { buildProgress, type BuildRow, type ContainerRow, dockerEvent, fail } from "@gantry/contracts";
import { silentLogger, systemClock as clock } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { EventHub } from "../event-hub.ts";
import { LiveHub, type LiveEvent } from "./hub.ts";

const idOf = (n: number) => String(n).padStart(64, "0");
const container = (n: number, state = "running"): ContainerRow => ({ id: idOf(n), name: `c${n}`, image: "busybox", command: "sh", node: "a", state, health: null, exitCode: null, created: n, since: null, ports: [] });
const build = (n: number): BuildRow => ({ id: idOf(n), state: "running", tags: [], step: 1, steps: 2, worker: "w", attempts: 1, error: null, created: n, started: 1, finished: null });

let scope = new AsyncDisposableStack();
afterEach(async () => {
  await scope.disposeAsync();
  scope = new AsyncDisposableStack();
});

/** A hub over a table of containers that the test changes; `broken` makes its next fetches fail. */
async function rig() {
  const bus: Bus = scope.use(createLocalBus({ service: "test", clock, logger: silentLogger }));
  const events = scope.use(await EventHub.open(bus));
  const world = { containers: new Map<string, ContainerRow>(), fetches: 0, broken: 0 };
  const rowsOf = <R extends { id: string }>(rows: Iterable<R>, ids: readonly string[] | null) => [...rows].filter((row) => ids === null || ids.includes(row.id));
  const hub = scope.use(new LiveHub({
    bus, events, clock, logger: silentLogger,
    source: {
      nodes: async () => [],
      containers: async (ids) => {
        world.fetches += 1;
        if (world.broken > 0) { world.broken -= 1; throw fail("UNAVAILABLE", "no scheduler"); }
        return rowsOf(world.containers.values(), ids);
      },
      builds: async (ids) => rowsOf([build(7)], ids),
    },
  }));
  const tell = (n: number) => bus.publish(dockerEvent, { Type: "container", Action: "start", Actor: { ID: idOf(n), Attributes: {} }, scope: "local", time: 1, timeNano: 1 });
  const put = (row: ContainerRow) => { world.containers.set(row.id, row); };
  const listen = () => {
    const heard: LiveEvent[] = [];
    const leave = hub.listen((event) => heard.push(event));
    return { heard, leave };
  };
  return { bus, events, world, put, tell, listen };
}

test("a snapshot, then changes and removals", async () => {
  const { world, put, tell, listen } = await rig();
  put(container(1));
  const { heard } = listen();
  await waitFor(() => heard.length === 1);
  assert.deepEqual(heard[0], { kind: "snapshot", data: { nodes: [], containers: [container(1)], builds: [build(7)] } });
  put(container(1, "exited"));
  put(container(2));
  await tell(1);
  await tell(2);
  await waitFor(() => heard.some((e) => e.kind === "containers" && e.data.changed.some((row) => row.id === idOf(2))));
  world.containers.delete(idOf(2));
  await tell(2);
  await waitFor(() => heard.some((e) => e.kind === "containers" && e.data.removed.includes(idOf(2))));
});

test("a burst of events is one fetch for all listeners", async () => {
  const { world, put, tell, listen } = await rig();
  const all = [listen(), listen(), listen()];
  await waitFor(() => all.every(({ heard }) => heard.length === 1));
  const before = world.fetches;
  for (let n = 0; n < 100; n++) put(container(n));
  await Promise.all(Array.from({ length: 100 }, (_, n) => tell(n)));
  const told = (heard: readonly LiveEvent[]) => new Set(heard.flatMap((e) => (e.kind === "containers" ? e.data.changed.map((row) => row.id) : []))).size;
  await waitFor(() => all.every(({ heard }) => told(heard) === 100));
  assert.ok(world.fetches - before <= 10, `${world.fetches - before} fetches for one burst`);
});

test("a build's progress sends its row", async () => {
  const { bus, listen } = await rig();
  const { heard } = listen();
  await waitFor(() => heard.length === 1);
  await bus.publish(buildProgress, { id: idOf(7), seq: 1, state: "running" });
  await waitFor(() => heard.some((e) => e.kind === "builds" && e.data[0]?.id === idOf(7)));
});

test("what could not be fetched is fetched again, and newcomers wait for it", async () => {
  const { world, put, tell, listen } = await rig();
  const first = listen();
  await waitFor(() => first.heard.length === 1);
  world.broken = 1;
  put(container(1));
  await tell(1);
  const second = listen();
  await waitFor(() => first.heard.some((e) => e.kind === "containers"));
  await waitFor(() => second.heard.length > 0);
  assert.equal(second.heard[0]?.kind, "snapshot");
});

test("nothing is fetched while nobody listens; who comes back gets a snapshot", async () => {
  const { events, world, put, tell, listen } = await rig();
  const { heard, leave } = listen();
  await waitFor(() => heard.length === 1);
  leave();
  await waitFor(() => events.listeners === 0);
  const before = world.fetches;
  for (let n = 0; n < 5; n++) { put(container(n)); await tell(n); }
  const { heard: again } = listen();
  await waitFor(() => again.length === 1);
  assert.equal(world.fetches, before + 1);
  assert.equal(heard.length, 1);
});

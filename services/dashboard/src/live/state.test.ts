import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildRow, ContainerRow } from "./rows.ts";
import { applyEvent, EMPTY } from "./state.ts";

const container = (id: string, created: number, state = "running"): ContainerRow => ({ id, name: id, image: "busybox", command: "sh", state, health: null, exitCode: null, node: "a", created, since: null, ports: [] });
const build = (id: string, created: number): BuildRow => ({ id, state: "queued", tags: [], step: 0, steps: 0, worker: null, attempts: 1, error: null, created, started: null, finished: null });

test("a snapshot replaces what was there, newest first", () => {
  const before = { ...EMPTY, connection: "lost" as const, containers: [container("gone", 9)] };
  const after = applyEvent(before, "snapshot", { nodes: [], containers: [container("old", 1), container("new", 2)], builds: [] });
  assert.equal(after.connection, "live");
  assert.deepEqual(after.containers.map((c) => c.id), ["new", "old"]);
});

test("changes are merged by ID, removals drop rows, the rest stays as it was", () => {
  let state = applyEvent(EMPTY, "snapshot", { nodes: [], containers: [container("a", 1), container("b", 2)], builds: [build("x", 1)] });
  state = applyEvent(state, "containers", { changed: [container("a", 1, "exited"), container("c", 3)], removed: ["b", "unknown"] });
  assert.deepEqual(state.containers.map((c) => [c.id, c.state]), [["c", "running"], ["a", "exited"]]);
  assert.deepEqual(state.builds.map((b) => b.id), ["x"]);
});

test("builds are bounded: the latest hundred", () => {
  const state = applyEvent(EMPTY, "builds", Array.from({ length: 150 }, (_, i) => build(`b${i}`, i)));
  assert.equal(state.builds.length, 100);
  assert.equal(state.builds[0]?.id, "b149");
});

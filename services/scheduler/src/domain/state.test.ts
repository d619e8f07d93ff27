import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerState } from "@gantry/contracts";
import { eventsBetween, lost, newState } from "./state.ts";
import { compareTimes } from "./time.ts";

const state = (over: Partial<ContainerState>): ContainerState => ({ ...newState(), ...over });
const actions = (before: ContainerState, after: ContainerState) => eventsBetween(before, after).map((event) => event.action);

const created = newState();
const running = state({ status: "running", startedAt: "2026-01-01T00:00:00.5Z" });
const exited = state({ status: "exited", startedAt: running.startedAt, finishedAt: "2026-01-01T00:00:10.25Z", exitCode: 3 });
const again = state({ status: "running", startedAt: "2026-01-01T00:01:00Z", finishedAt: exited.finishedAt });

test("each transition is told once, in order, also when one was not seen", () => {
  assert.deepEqual(actions(created, running), ["start"]);
  assert.deepEqual(eventsBetween(running, exited), [{ action: "die", attributes: { exitCode: "3", execDuration: "9" } }]);
  assert.deepEqual(actions(created, exited), ["start", "die"]);
  assert.deepEqual(actions(running, again), ["die", "start"]);
  assert.deepEqual(actions(exited, again), ["start"]);
  assert.deepEqual(actions(again, again), []);
  assert.deepEqual(actions(running, { ...running, status: "paused" }), ["pause"]);
  assert.deepEqual(actions({ ...running, status: "paused" }, running), ["unpause"]);
  assert.deepEqual(actions(running, { ...exited, oomKilled: true }), ["oom", "die"]);
});

test("a container its node does not know any more", () => {
  assert.deepEqual([lost(running, "2026-02-01T00:00:00Z").status, lost(running, "x").exitCode], ["exited", 137]);
  assert.equal(lost(created, "x").status, "dead");
  assert.equal(lost(exited, "x"), exited);
});

test("times with fractions of any length compare as times", () => {
  assert.equal(compareTimes("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z"), -1);
  assert.equal(compareTimes("2026-01-01T00:00:00.12Z", "2026-01-01T00:00:00.119999999Z"), 1);
  assert.equal(compareTimes("2026-01-01T00:00:00.100Z", "2026-01-01T00:00:00.1Z"), 0);
});

import type { ContainerState } from "@gantry/contracts";
import { ZERO_TIME } from "@gantry/kernel";
import { compareTimes } from "./time.ts";

export type Status = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/** The state of a container that its node has not made yet. */
export function newState(): ContainerState {
  return {
    status: "created", pid: 0, exitCode: 0, error: "", oomKilled: false, startedAt: ZERO_TIME, finishedAt: ZERO_TIME, restartCount: 0,
    networks: {}, ports: {}, mounts: [], paths: {}, health: null,
  };
}

/** A running process is there: also while it is paused. */
export const isRunning = (state: ContainerState) => state.status === "running" || state.status === "paused";

/** Docker's events have no name for what the scheduler sees as one: these are derived from two states. */
export interface StateEvent { action: "start" | "die" | "oom" | "pause" | "unpause"; attributes: Record<string, string> }

/**
 * What happened between two states of one container, in order. Times tell: a new StartedAt is a start, a new FinishedAt a death;
 * so nothing is lost when a reply overtakes a report.
 */
export function eventsBetween(before: ContainerState, after: ContainerState): StateEvent[] {
  const started = after.startedAt !== before.startedAt && after.startedAt !== ZERO_TIME;
  const died = after.finishedAt !== before.finishedAt && after.finishedAt !== ZERO_TIME;
  const start: StateEvent = { action: "start", attributes: {} };
  const death: StateEvent[] = [];
  if (died) {
    if (after.oomKilled) death.push({ action: "oom", attributes: {} });
    const attributes: Record<string, string> = { exitCode: String(after.exitCode) };
    const began = started && compareTimes(after.startedAt, after.finishedAt) <= 0 ? after.startedAt : before.startedAt;
    const seconds = Math.floor((Date.parse(after.finishedAt) - Date.parse(began)) / 1000);
    if (began !== ZERO_TIME && seconds >= 0) attributes["execDuration"] = String(seconds);
    death.push({ action: "die", attributes });
  }
  const events: StateEvent[] = [];
  if (started && died) events.push(...(compareTimes(after.startedAt, after.finishedAt) <= 0 && !isRunning(after) ? [start, ...death] : [...death, start]));
  else if (started) events.push(start);
  else events.push(...death);
  if (!started && !died) {
    if (before.status === "running" && after.status === "paused") events.push({ action: "pause", attributes: {} });
    if (before.status === "paused" && after.status === "running") events.push({ action: "unpause", attributes: {} });
  }
  return events;
}

/** Whether a report applies: `seq` only grows over the life of a container. */
export const isNewer = (known: number, reported: number) => reported > known;

/** What a container is that its node does not know any more, when it should: dead, with the reason. */
export function lost(state: ContainerState, now: string): ContainerState {
  if (state.status === "exited" || state.status === "dead") return state;
  const ran = isRunning(state) || state.status === "restarting";
  return { ...state, status: ran ? "exited" : "dead", pid: 0, exitCode: ran ? 137 : state.exitCode, finishedAt: ran ? now : state.finishedAt, error: "the node has no such container" };
}

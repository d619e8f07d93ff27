import type { ContainerState } from "@gantry/contracts";
import { ZERO_TIME } from "@gantry/kernel";

/** Docker's words for a length of time (go-units HumanDuration), from milliseconds. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`;
}

/** The STATUS column of `docker ps`. `now` in milliseconds since the epoch. */
export function statusText(state: ContainerState, health: string | null, now: number): string {
  const since = (time: string) => humanDuration(Math.max(0, now - Date.parse(time)));
  switch (state.status) {
    case "running": {
      const up = `Up ${since(state.startedAt)}`;
      if (health === null) return up;
      return `${up} (${health === "starting" ? "health: starting" : health})`;
    }
    case "paused": return `Up ${since(state.startedAt)} (Paused)`;
    case "restarting": return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "removing": return "Removal In Progress";
    case "dead": return "Dead";
    case "created": return state.startedAt === ZERO_TIME ? "Created" : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
    default: return state.finishedAt === ZERO_TIME ? "" : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
  }
}

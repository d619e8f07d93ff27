import type { RestartPolicy } from "@gantry/contracts";

/** Docker's back-off: 100 ms, doubled each time up to a minute; a run of ten seconds and more starts anew. Milliseconds. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 60_000;
const STEADY_RUN = 10_000;

export interface Ended {
  readonly exitCode: number;
  readonly ranMs: number;
  /** Restarts so far. */
  readonly restartCount: number;
  /** `docker stop` or `docker kill` was given since the last start. */
  readonly stoppedByUser: boolean;
  /** Delay before the last restart; 0 when this was no restart. */
  readonly lastDelay: number;
}

/** Milliseconds to wait before the container is started again; null: it stays as it is. */
export function restartDelay(policy: RestartPolicy, ended: Ended): number | null {
  if (ended.stoppedByUser || !wants(policy, ended)) return null;
  if (ended.ranMs >= STEADY_RUN || ended.lastDelay === 0) return FIRST_DELAY;
  return Math.min(ended.lastDelay * 2, LONGEST_DELAY);
}

function wants(policy: RestartPolicy, ended: Pick<Ended, "exitCode" | "restartCount">): boolean {
  switch (policy.Name) {
    case "always": case "unless-stopped": return true;
    case "on-failure": return ended.exitCode !== 0 && (policy.MaximumRetryCount === 0 || ended.restartCount < policy.MaximumRetryCount);
    default: return false;
  }
}

/** Whether an agent that starts also starts a container that is not running: as Docker does when its daemon starts. */
export function startsWithAgent(policy: RestartPolicy, container: { startedBefore: boolean; stoppedByUser: boolean; exitCode: number; restartCount: number }): boolean {
  if (!container.startedBefore) return false;
  if (policy.Name === "always") return true;
  return !container.stoppedByUser && wants(policy, container);
}

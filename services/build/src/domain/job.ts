import type { BuildJob, BuildState } from "@gantry/contracts";

/** A job's record, as far as its rules need it. */
export interface JobRecord {
  readonly state: BuildState;
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly leaseUntil: number;
  readonly cancelRequested: boolean;
}

export const isFinished = (state: BuildState): boolean => state === "succeeded" || state === "failed" || state === "cancelled";

/**
 * What a worker does with a job that it is offered. `skip`: someone else has it or it is over. `give-up`: it was begun
 * `maxAttempts` times and no worker lived to its end.
 */
export function claimDecision(job: JobRecord, now: number, maxAttempts: number): "claim" | "skip" | "cancel" | "give-up" {
  if (isFinished(job.state)) return "skip";
  if (job.state === "running" && job.leaseUntil > now) return "skip";
  if (job.cancelRequested) return "cancel";
  return job.attempts >= maxAttempts ? "give-up" : "claim";
}

/** Whether the job must be offered on the queue again: nobody took it in time, or its worker is gone. */
export function mustRequeue(job: JobRecord & { readonly queuedAt: number }, now: number, patience: number): boolean {
  if (job.state === "queued") return job.queuedAt + patience <= now;
  return job.state === "running" && job.leaseUntil <= now;
}

/** What a caller may see: without the credentials. */
export const shownJob = (job: BuildJob): BuildJob => ({ ...job, spec: { ...job.spec, auth: {} } });

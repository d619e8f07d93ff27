import type { BuildJob, BuildState } from "@gantry/contracts";

export const isFinished = (state: BuildState): boolean => state === "succeeded" || state === "failed" || state === "cancelled";

/** A running job whose worker is gone. */
export interface LostJob {
  readonly cancelRequested: boolean;
  /** Beginnings since a step was finished last. */
  readonly stalled: number;
}

/** What becomes of a job that nobody holds any more. `give-up`: one and the same step was begun `maxStalled` times, and no worker lived to its end. */
export function afterLoss(job: LostJob, maxStalled: number): "requeue" | "cancel" | "give-up" {
  if (job.cancelRequested) return "cancel";
  return job.stalled >= maxStalled ? "give-up" : "requeue";
}

/** What others see of a lease: who holds it, and a stamp that changes whenever it is held on. */
export interface LeaseSight {
  readonly id: string;
  readonly worker: string;
  readonly epoch: number;
  readonly stamp: number;
}

interface Watched { readonly epoch: number; readonly stamp: number; readonly since: number }

/**
 * Tells how long leases have stood still, by this process's own steady clock: clocks of other hosts do not matter. Time in which one
 * could not look does not count, as then nobody could hold a lease on either.
 */
export class LeaseWatch {
  #seen = new Map<string, Watched>();

  /** All leases as they are now, in milliseconds of a steady clock. Answers for how long each has not been held on. */
  look(leases: readonly LeaseSight[], now: number): Map<string, number> {
    const still = new Map<string, number>();
    const next = new Map<string, Watched>();
    for (const { id, epoch, stamp } of leases) {
      const before = this.#seen.get(id);
      const same = before !== undefined && before.epoch === epoch && before.stamp === stamp;
      const since = same ? before.since : now;
      next.set(id, { epoch, stamp, since });
      still.set(id, now - since);
    }
    this.#seen = next;
    return still;
  }

  /** To be called when looking failed. */
  blind(): void {
    this.#seen.clear();
  }
}

/** What a caller may see: without the credentials. */
export const shownJob = (job: BuildJob): BuildJob => ({ ...job, spec: { ...job.spec, auth: {} } });

/** The labels a list is filtered by: `key`, or `key=value`. */
export function parseLabelFilter(text: string): { key: string; value: string | null } {
  const at = text.indexOf("=");
  return at < 0 ? { key: text, value: null } : { key: text.slice(0, at), value: text.slice(at + 1) };
}

/** Where a page of the list ended: jobs are listed by time of submission, newest first, then by ID. */
export interface Cursor { readonly submittedAt: number; readonly id: string }

export const cursorText = ({ submittedAt, id }: Cursor): string => `${submittedAt}-${id}`;

/** null for what is none. */
export function parseCursor(text: string): Cursor | null {
  const match = /^(\d{1,15})-([0-9a-f]{64})$/.exec(text);
  return match === null ? null : { submittedAt: Number(match[1]), id: match[2]! };
}

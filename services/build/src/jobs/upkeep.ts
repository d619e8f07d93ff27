import { buildProgress, buildRun, type BuildSpec, type BuildState } from "@gantry/contracts";
import { type Database, fromJson } from "@gantry/database";
import { type Clock, rfc3339Nano } from "@gantry/kernel";
import { afterLoss, type LeaseSight } from "../domain/job.ts";
import type { BuildDatabase } from "./schema.ts";
import { jobRow, type JobStore } from "./store.ts";

export interface UpkeepOptions {
  readonly database: Database<BuildDatabase>;
  readonly store: JobStore;
  readonly clock: Clock;
  /** How often one and the same step is begun when its worker is lost. */
  readonly maxStalled: number;
}

/** What finished jobs may take: the older ones go first. */
export interface Retention {
  readonly days: number;
  readonly jobs: number;
  /** Of all logs together. */
  readonly logBytes: number;
}

const DAY_MS = 24 * 3600 * 1000;
const PAGE = 1000;

/** What keeps jobs going whose worker is gone, and forgets old ones. Every worker does it. */
export class Upkeep {
  readonly #options: UpkeepOptions;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  async leases(): Promise<LeaseSight[]> {
    const rows = await this.#options.database.query.selectFrom("build_job").select(["id", "worker", "epoch", "lease_until"]).where("state", "=", "running").execute();
    return rows.map((row) => ({ id: row.id, worker: row.worker ?? "", epoch: row.epoch, stamp: Number(row.lease_until) }));
  }

  /** Takes a job from a worker that is gone, unless its lease was held on since it was seen: back on the queue, or to its end. False: it was. */
  async takeAway({ id, epoch, stamp }: LeaseSight): Promise<boolean> {
    const { database, store, clock, maxStalled } = this.#options;
    return await database.transaction(async (tx, outbox) => {
      const row = await jobRow(tx, id);
      if (row.state !== "running" || row.epoch !== epoch || Number(row.lease_until) !== stamp) return false;
      const fate = afterLoss({ cancelRequested: row.cancel_requested !== 0, stalled: row.stalled }, maxStalled);
      if (fate === "requeue") {
        await tx.updateTable("build_job").set({ state: "queued", queued_at: clock.now(), worker: null }).where("id", "=", id).execute();
        await outbox.send(buildRun, { id });
        return true;
      }
      const end = fate === "cancel"
        ? { state: "cancelled" as const, error: "build cancelled" }
        : { state: "failed" as const, error: `step ${row.step} was begun ${row.stalled} times, and each time its worker was lost` };
      await store.end(tx, row, { ...end, imageId: null });
      await outbox.publish(buildProgress, { id, seq: row.next_seq, state: end.state });
      return true;
    });
  }

  /** All that an earlier life of this worker still held. */
  async takeBack(worker: string): Promise<number> {
    let count = 0;
    for (const lease of await this.leases()) if (lease.worker === worker && await this.takeAway(lease)) count++;
    return count;
  }

  /** Offers again what has waited for so long that its message may be lost. A message too many finds nothing to do. */
  async offerAgain(patienceMs: number): Promise<number> {
    const { database, clock } = this.#options;
    const now = clock.now();
    const rows = await database.query.selectFrom("build_job").select("id").where("state", "=", "queued").where("queued_at", "<=", now - patienceMs).orderBy("submitted_at").limit(PAGE).execute();
    for (const { id } of rows) {
      await database.transaction(async (tx, outbox) => {
        const { numUpdatedRows } = await tx.updateTable("build_job").set({ queued_at: now }).where("id", "=", id).where("state", "=", "queued").executeTakeFirst();
        if (numUpdatedRows === 1n) await outbox.send(buildRun, { id });
      });
    }
    return rows.length;
  }

  /** Digests of the contexts of builds that are not over, or ended after `since` (milliseconds since the epoch) and may be retried. */
  async contexts(since: number): Promise<string[]> {
    const limit = rfc3339Nano(BigInt(since) * 1_000_000n);
    const rows = await this.#options.database.query.selectFrom("build_job").select("spec")
      .where((eb) => eb.or([eb("state", "in", ["queued", "running"] satisfies BuildState[]), eb("finished_at", ">", limit)])).orderBy("submitted_at", "desc").limit(2 * PAGE).execute();
    return [...new Set(rows.map(({ spec }) => fromJson<BuildSpec>(spec).context).filter((digest) => digest !== null))];
  }

  /** Forgets finished jobs with their logs. Answers how many. */
  async prune({ days, jobs, logBytes }: Retention): Promise<number> {
    const { database, clock } = this.#options;
    const finished = database.query.selectFrom("build_job").select(["id", "finished_at", "log_bytes"]).where("finished_at", "is not", null).orderBy("submitted_at", "desc").orderBy("id", "desc");
    const oldest = rfc3339Nano(BigInt(clock.now() - days * DAY_MS) * 1_000_000n);
    let bytes = 0;
    let seen = 0;
    let forgotten = 0;
    for (;;) {
      const rows = await finished.offset(seen).limit(PAGE).execute();
      for (const row of rows) {
        seen++;
        bytes += Number(row.log_bytes);
        if (seen <= jobs && bytes <= logBytes && row.finished_at! >= oldest) continue;
        await this.#forget(row.id);
        seen--;
        bytes -= Number(row.log_bytes);
        forgotten++;
      }
      if (rows.length < PAGE) return forgotten;
    }
  }

  async #forget(id: string): Promise<void> {
    await this.#options.database.transaction(async (tx) => {
      for (const table of ["build_log", "build_step", "build_tag", "build_label"] as const) await tx.deleteFrom(table).where("job_id", "=", id).execute();
      await tx.deleteFrom("build_job").where("id", "=", id).execute();
    });
  }
}

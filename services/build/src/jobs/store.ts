import { type BuildJob, buildProgress, buildRun, type BuildSpec, type BuildState, fail } from "@gantry/contracts";
import { type Database, fromJson, toJson } from "@gantry/database";
import { type Clock, rfc3339Nano } from "@gantry/kernel";
import type { Kysely, Selectable } from "kysely";
import { claimDecision, isFinished, mustRequeue, type JobRecord } from "../domain/job.ts";
import type { BuildMessage } from "../domain/messages.ts";
import type { BuildDatabase } from "./schema.ts";

type Row = Selectable<BuildDatabase["build_job"]>;

/** A claimed job. Every write carries the epoch, and is refused (STALE_EPOCH) once another worker has claimed it. */
export interface Claim {
  readonly id: string;
  readonly epoch: number;
  readonly attempt: number;
  /** When the job was begun first, in milliseconds since the epoch; null: now. */
  readonly begunAt: number | null;
  readonly spec: BuildSpec;
}

export interface StoredMessage { readonly seq: number; readonly message: BuildMessage }

export interface JobStoreOptions {
  readonly database: Database<BuildDatabase>;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly maxAttempts: number;
}

/** Jobs and their logs. The job queue only says that something may be there: what is true stands here. */
export class JobStore {
  readonly #db: Database<BuildDatabase>;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #maxAttempts: number;

  constructor(options: JobStoreOptions) {
    this.#db = options.database;
    this.#clock = options.clock;
    this.#leaseMs = options.leaseMs;
    this.#maxAttempts = options.maxAttempts;
  }

  /** Idempotent by the ID. Job and queue message commit together. */
  async submit(id: string, spec: BuildSpec): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const result = await tx.insertInto("build_job").values({
        id, state: "queued", spec: toJson(spec), image_id: null, error: null, attempts: 0, epoch: 0, worker: null, lease_until: 0, cancel_requested: 0,
        step: 0, steps: 0, next_seq: 0, queued_at: this.#clock.now(), created_at: rfc3339Nano(this.#clock.nowNano()), started_at: null, finished_at: null,
      }).onConflict((c) => c.column("id").doNothing()).executeTakeFirst();
      if (result.numInsertedOrUpdatedRows === 1n) await outbox.send(buildRun, { id });
    });
  }

  async get(id: string): Promise<BuildJob> {
    return toJob(await this.#row(this.#db.query, id));
  }

  /** Newest first. */
  async list(limit: number): Promise<BuildJob[]> {
    return (await this.#db.query.selectFrom("build_job").selectAll().orderBy("created_at", "desc").limit(limit).execute()).map(toJob);
  }

  /** A queued job ends at once; a running one is stopped by its worker. No error when it is over already. NO_SUCH_BUILD. */
  async cancel(id: string): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const row = await this.#row(tx, id);
      if (isFinished(toRecord(row).state)) return;
      if (row.state === "queued") await this.#finish(tx, row, { state: "cancelled", imageId: null, error: "build cancelled" });
      else await tx.updateTable("build_job").set({ cancel_requested: 1 }).where("id", "=", id).execute();
      await outbox.publish(buildProgress, { id, seq: row.next_seq, state: "cancelled" });
    });
  }

  /** The job, for this worker; null when there is nothing to do. */
  async claim(id: string, worker: string): Promise<Claim | null> {
    return await this.#db.transaction(async (tx, outbox) => {
      const row = await tx.selectFrom("build_job").selectAll().where("id", "=", id).executeTakeFirst();
      if (row === undefined) return null;
      const decision = claimDecision(toRecord(row), this.#clock.now(), this.#maxAttempts);
      if (decision === "skip") return null;
      if (decision !== "claim") {
        const end = decision === "cancel"
          ? { state: "cancelled" as const, error: "build cancelled" }
          : { state: "failed" as const, error: `the build was begun ${row.attempts} times and its worker was lost each time` };
        await this.#finish(tx, row, { ...end, imageId: null });
        await outbox.publish(buildProgress, { id, seq: row.next_seq, state: end.state });
        return null;
      }
      const epoch = row.epoch + 1;
      await tx.updateTable("build_job").set({
        state: "running", worker, epoch, attempts: row.attempts + 1, lease_until: this.#clock.now() + this.#leaseMs,
        started_at: row.started_at ?? rfc3339Nano(this.#clock.nowNano()),
      }).where("id", "=", id).execute();
      return { id, epoch, attempt: row.attempts + 1, begunAt: row.started_at === null ? null : Date.parse(row.started_at), spec: fromJson<BuildSpec>(row.spec) };
    });
  }

  /** Holds the lease on. Answers whether the job is still ours, and whether to stop it. */
  async renew(claim: Claim): Promise<"ok" | "cancelled" | "lost"> {
    const row = await this.#db.query.updateTable("build_job").set({ lease_until: this.#clock.now() + this.#leaseMs })
      .where("id", "=", claim.id).where("epoch", "=", claim.epoch).where("state", "=", "running")
      .returning("cancel_requested").executeTakeFirst();
    if (row === undefined) return "lost";
    return row.cancel_requested === 0 ? "ok" : "cancelled";
  }

  /** Appends log rows and answers the number of the next. STALE_EPOCH once the job is no longer ours. */
  async append(claim: Claim, messages: readonly BuildMessage[], progress: { step: number; steps: number }): Promise<number> {
    return await this.#db.transaction(async (tx) => {
      const row = await tx.updateTable("build_job")
        .set((eb) => ({ next_seq: eb("next_seq", "+", messages.length), step: progress.step, steps: progress.steps }))
        .where("id", "=", claim.id).where("epoch", "=", claim.epoch).where("state", "=", "running")
        .returning("next_seq").executeTakeFirst();
      if (row === undefined) throw staleClaim(claim);
      const first = row.next_seq - messages.length;
      const rows = messages.map((message, i) => ({ job_id: claim.id, seq: first + i, message: toJson(message) }));
      for (let at = 0; at < rows.length; at += 200) await tx.insertInto("build_log").values(rows.slice(at, at + 200)).execute();
      return row.next_seq;
    });
  }

  /** Ends the job. STALE_EPOCH once it is no longer ours. */
  async finish(claim: Claim, end: { state: BuildState; imageId: string | null; error: string | null }): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const row = await this.#row(tx, claim.id);
      if (row.epoch !== claim.epoch || row.state !== "running") throw staleClaim(claim);
      await this.#finish(tx, row, end);
      await outbox.publish(buildProgress, { id: claim.id, seq: row.next_seq, state: end.state });
    });
  }

  /** Gives the job back, for a worker that stops. */
  async release(claim: Claim): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const result = await tx.updateTable("build_job").set((eb) => ({ state: "queued", lease_until: 0, queued_at: this.#clock.now(), attempts: eb("attempts", "-", 1) }))
        .where("id", "=", claim.id).where("epoch", "=", claim.epoch).where("state", "=", "running").executeTakeFirst();
      if (result.numUpdatedRows === 1n) await outbox.send(buildRun, { id: claim.id });
    });
  }

  /**
   * Offers again what nobody holds: expired leases, messages that were lost, and all that `deadWorker` (an earlier life of the
   * caller) still held. Answers how many.
   */
  async requeue(patienceMs: number, deadWorker: string | null): Promise<number> {
    return await this.#db.transaction(async (tx, outbox) => {
      const now = this.#clock.now();
      const rows = await tx.selectFrom("build_job").selectAll().where("state", "in", ["queued", "running"]).orderBy("created_at").limit(1000).execute();
      let count = 0;
      for (const row of rows) {
        const dead = deadWorker !== null && row.worker === deadWorker && row.state === "running";
        if (!dead && !mustRequeue({ ...toRecord(row), queuedAt: Number(row.queued_at) }, now, patienceMs)) continue;
        await tx.updateTable("build_job").set({ state: "queued", lease_until: 0, queued_at: now }).where("id", "=", row.id).execute();
        await outbox.send(buildRun, { id: row.id });
        count++;
      }
      return count;
    });
  }

  /** Digests of the contexts of builds that are not over. */
  async waitingContexts(): Promise<string[]> {
    const rows = await this.#db.query.selectFrom("build_job").select("spec").where("state", "in", ["queued", "running"]).limit(1000).execute();
    return [...new Set(rows.map(({ spec }) => fromJson<BuildSpec>(spec).context).filter((digest) => digest !== null))];
  }

  /** Rows from `from` on, at most `limit`; and the end, when the job has one and these are its last rows. */
  async read(id: string, from: number, limit: number): Promise<{ rows: StoredMessage[]; end: { seq: number; state: BuildState; imageId: string | null; error: string | null } | null }> {
    // The job first: rows that come between the two reads only make the answer longer.
    const job = await this.#row(this.#db.query, id);
    const rows = await this.#db.query.selectFrom("build_log").select(["seq", "message"])
      .where("job_id", "=", id).where("seq", ">=", from).orderBy("seq").limit(limit).execute();
    const next = rows.length > 0 ? rows.at(-1)!.seq + 1 : from;
    const { state } = toRecord(job);
    const over = isFinished(state) && next >= job.next_seq;
    return {
      rows: rows.map(({ seq, message }) => ({ seq, message: fromJson<BuildMessage>(message) })),
      end: over ? { seq: job.next_seq, state, imageId: job.image_id, error: job.error } : null,
    };
  }

  /** Forgets jobs that ended before `before` (milliseconds since the epoch), but for the newest `keep`. */
  async prune(before: number, keep: number): Promise<void> {
    const limit = rfc3339Nano(BigInt(before) * 1_000_000n);
    const old = await this.#db.query.selectFrom("build_job").select("id").where("finished_at", "is not", null)
      .orderBy("created_at", "desc").offset(keep).limit(1000).where("finished_at", "<", limit).execute();
    for (const { id } of old) {
      await this.#db.transaction(async (tx) => {
        await tx.deleteFrom("build_log").where("job_id", "=", id).execute();
        await tx.deleteFrom("build_job").where("id", "=", id).execute();
      });
    }
  }

  async #row(tx: Kysely<BuildDatabase>, id: string): Promise<Row> {
    const row = await tx.selectFrom("build_job").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fail("NO_SUCH_BUILD", `No such build: ${id}`);
    return row;
  }

  async #finish(tx: Kysely<BuildDatabase>, row: Row, end: { state: BuildState; imageId: string | null; error: string | null }): Promise<void> {
    const spec = { ...fromJson<BuildSpec>(row.spec), auth: {} };
    await tx.updateTable("build_job").set({
      state: end.state, image_id: end.imageId, error: end.error, spec: toJson(spec), lease_until: 0, finished_at: rfc3339Nano(this.#clock.nowNano()),
    }).where("id", "=", row.id).execute();
  }
}

const staleClaim = (claim: Claim) => fail("STALE_EPOCH", `build ${claim.id} is in other hands (epoch ${claim.epoch} is over)`);

const toRecord = (row: Row): JobRecord => ({
  state: row.state as BuildState, attempts: row.attempts, leaseUntil: Number(row.lease_until), cancelRequested: row.cancel_requested !== 0,
});

const toJob = (row: Row): BuildJob => ({
  id: row.id, state: row.state as BuildState, spec: fromJson<BuildSpec>(row.spec), imageId: row.image_id, error: row.error, attempts: row.attempts,
  createdAt: row.created_at, startedAt: row.started_at, finishedAt: row.finished_at, worker: row.worker, step: row.step, steps: row.steps,
});

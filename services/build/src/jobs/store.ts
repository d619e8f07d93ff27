import { type BuildJob, buildProgress, buildRun, type BuildSpec, type BuildState, type BuildStep, fail } from "@gantry/contracts";
import { type Database, fromJson, toJson } from "@gantry/database";
import { type Clock, rfc3339Nano } from "@gantry/kernel";
import { canonicalJson, familiarString, parseReference, withDefaultTag } from "@gantry/oci";
import { context, propagation } from "@opentelemetry/api";
import type { Kysely, Selectable } from "kysely";
import { isFinished } from "../domain/job.ts";
import type { LogRow } from "../domain/messages.ts";
import type { Told } from "../domain/replay.ts";
import type { BuildDatabase } from "./schema.ts";

export type JobRow = Selectable<BuildDatabase["build_job"]>;

/** A claimed job. Every write carries the epoch, and is refused (STALE_EPOCH) once another worker has claimed it. */
export interface Claim {
  readonly id: string;
  readonly worker: string;
  readonly epoch: number;
  readonly attempt: number;
  /** Beginnings since a step was finished last, this one included. */
  readonly stalled: number;
  /** Between submission and first claim; null after that. */
  readonly waitedMs: number | null;
  /** Trace context of who submitted the job. */
  readonly trace: Record<string, string> | null;
  readonly spec: BuildSpec;
  /** Number of the next log row, and bytes that the log has. */
  readonly nextSeq: number;
  readonly logBytes: number;
  /** What earlier attempts came to; null: this is the first. */
  readonly resumed: { readonly told: Told; readonly steps: readonly BuildStep[] } | null;
}

/** What is written in one go. `seq`: number that its first row gets. */
export interface LogBatch {
  readonly seq: number;
  readonly rows: readonly LogRow[];
  readonly steps: readonly BuildStep[];
  /** Last step begun, and how many there are. */
  readonly progress: { readonly step: number; readonly steps: number };
}

export interface JobEnd { readonly state: BuildState; readonly imageId: string | null; readonly error: string | null }

export interface JobStoreOptions {
  readonly database: Database<BuildDatabase>;
  readonly clock: Clock;
  /** Jobs that may wait at once. */
  readonly maxQueued: number;
}

const ROWS_PER_INSERT = 200;

/** Jobs, as submitters and workers change them. The job queue only says that something may be there: what is true stands here. */
export class JobStore {
  readonly #db: Database<BuildDatabase>;
  readonly #clock: Clock;
  readonly #maxQueued: number;

  constructor(options: JobStoreOptions) {
    this.#db = options.database;
    this.#clock = options.clock;
    this.#maxQueued = options.maxQueued;
  }

  /**
   * Job and queue message commit together. Idempotent by the ID: the same again changes nothing, another spec under the same ID is a
   * CONFLICT. QUEUE_FULL when too many jobs wait.
   */
  async submit(id: string, spec: BuildSpec, retryOf: string | null = null): Promise<void> {
    const there = await this.#db.query.selectFrom("build_job").select(["spec", "retry_of"]).where("id", "=", id).executeTakeFirst();
    if (there !== undefined) return checkSame(id, there, spec, retryOf);
    const { waiting } = await this.#db.query.selectFrom("build_job").select((eb) => eb.fn.countAll<number>().as("waiting")).where("state", "=", "queued").executeTakeFirstOrThrow();
    if (Number(waiting) >= this.#maxQueued) throw fail("QUEUE_FULL", `${waiting} builds are waiting already, which is as many as may: submit it again later`);
    const now = this.#clock.now();
    await this.#db.transaction(async (tx, outbox) => {
      const result = await tx.insertInto("build_job").values({
        id, state: "queued", spec: toJson(spec), image_id: null, error: null, attempts: 0, epoch: 0, worker: null, lease_until: 0, cancel_requested: 0, step: 0, steps: 0,
        next_seq: 0, queued_at: now, created_at: rfc3339Nano(this.#clock.nowNano()), started_at: null, finished_at: null, submitted_at: now, retry_of: retryOf, log_bytes: 0, stalled: 0, trace: traceNow(),
      }).onConflict((c) => c.column("id").doNothing()).executeTakeFirst();
      if (result.numInsertedOrUpdatedRows !== 1n) return;
      const tags = [...new Set(spec.tags.map(tagOf))].map((tag) => ({ job_id: id, tag }));
      if (tags.length > 0) await tx.insertInto("build_tag").values(tags).execute();
      const labels = Object.entries(spec.labels).map(([key, value]) => ({ job_id: id, key, value }));
      for (let at = 0; at < labels.length; at += ROWS_PER_INSERT) await tx.insertInto("build_label").values(labels.slice(at, at + ROWS_PER_INSERT)).execute();
      await outbox.send(buildRun, { id });
    });
  }

  /** The spec of a finished job, for another one. */
  async specToRetry(of: string): Promise<BuildSpec> {
    const row = await jobRow(this.#db.query, of);
    if (!isFinished(row.state as BuildState)) throw fail("CONFLICT", `build ${of} is not over: cancel it first, or wait for its end`);
    return fromJson<BuildSpec>(row.spec);
  }

  /** A queued job ends at once; a running one is stopped by its worker. No error when it is over already. NO_SUCH_BUILD. */
  async cancel(id: string): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const row = await jobRow(tx, id);
      if (isFinished(row.state as BuildState)) return;
      if (row.state === "queued") await this.end(tx, row, { state: "cancelled", imageId: null, error: "build cancelled" });
      else await tx.updateTable("build_job").set({ cancel_requested: 1 }).where("id", "=", id).execute();
      await outbox.publish(buildProgress, { id, seq: row.next_seq, state: "cancelled" });
    });
  }

  /** The job that has waited longest, those that lost a worker first; null where none waits. */
  async claim(worker: string): Promise<Claim | null> {
    // One statement, so that workers who claim at once get different jobs, and none of them waits.
    const now = this.#clock.now();
    const row = await this.#db.query.updateTable("build_job").set((eb) => ({
      state: "running", worker, epoch: eb("epoch", "+", 1), attempts: eb("attempts", "+", 1), stalled: eb("stalled", "+", 1), lease_until: now,
      started_at: eb.fn.coalesce("started_at", eb.val(rfc3339Nano(this.#clock.nowNano()))),
    })).where("state", "=", "queued").where("id", "=", (eb) => {
      const oldest = eb.selectFrom("build_job").select("id").where("state", "=", "queued")
        .orderBy((order) => order.case().when("epoch", ">", 0).then(0).else(1).end()).orderBy("submitted_at").orderBy("id").limit(1);
      return this.#db.kind === "postgres" ? oldest.forUpdate().skipLocked() : oldest;
    }).returningAll().executeTakeFirst();
    if (row === undefined) return null;
    return {
      id: row.id, worker, epoch: row.epoch, attempt: row.attempts, stalled: row.stalled, waitedMs: row.epoch === 1 ? Math.max(0, now - Number(row.submitted_at)) : null,
      trace: row.trace === null ? null : fromJson<Record<string, string>>(row.trace), spec: fromJson<BuildSpec>(row.spec), nextSeq: row.next_seq, logBytes: Number(row.log_bytes),
      resumed: row.epoch === 1 ? null : { told: await this.#told(row.id), steps: await this.steps(row.id) },
    };
  }

  async #told(id: string): Promise<Told> {
    const last = await this.#db.query.selectFrom("build_log").select("step").where("job_id", "=", id).orderBy("seq", "desc").limit(1).executeTakeFirst();
    const step = last?.step ?? 0;
    const rows = await this.#db.query.selectFrom("build_log").select(["step", "output", "message"]).where("job_id", "=", id).where("step", "=", step).orderBy("seq").execute();
    return { step, rows: rows.map((row) => ({ ...row, message: fromJson<LogRow["message"]>(row.message) })) };
  }

  /** Holds the lease on. Answers whether the job is still ours, and whether to stop it. */
  async renew(claim: Claim): Promise<"ok" | "cancelled" | "lost"> {
    const row = await this.#db.query.updateTable("build_job").set({ lease_until: this.#clock.now() })
      .where("id", "=", claim.id).where("epoch", "=", claim.epoch).where("state", "=", "running").returning("cancel_requested").executeTakeFirst();
    if (row === undefined) return "lost";
    return row.cancel_requested === 0 ? "ok" : "cancelled";
  }

  /** Writes log rows and steps. Idempotent by the batch's `seq`. STALE_EPOCH once the job is no longer ours. */
  async append(claim: Claim, batch: LogBatch): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const row = await ownRow(tx, claim);
      if (row.next_seq === batch.seq) await write(tx, claim, row, batch);
      else if (row.next_seq !== batch.seq + batch.rows.length) throw new Error(`the log of build ${claim.id} has ${row.next_seq} rows, not ${batch.seq}`);
    });
  }

  /** Ends the job with its last log rows. Idempotent. STALE_EPOCH once it is no longer ours. */
  async finish(claim: Claim, end: JobEnd, batch: LogBatch): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const now = await jobRow(tx, claim.id);
      if (now.epoch === claim.epoch && now.state === end.state) return;
      const row = await ownRow(tx, claim);
      if (row.next_seq === batch.seq) await write(tx, claim, row, batch);
      await this.end(tx, row, end);
      await outbox.publish(buildProgress, { id: claim.id, seq: batch.seq + batch.rows.length, state: end.state });
    });
  }

  /** Gives the job back: for a worker that stops (`counts` false), or that cannot go on for now. */
  async release(claim: Claim, counts: boolean): Promise<void> {
    await this.#db.transaction(async (tx, outbox) => {
      const result = await tx.updateTable("build_job").set((eb) => ({
        state: "queued", worker: null, queued_at: this.#clock.now(), ...(counts ? {} : { attempts: eb("attempts", "-", 1), stalled: eb("stalled", "-", 1) }),
      })).where("id", "=", claim.id).where("epoch", "=", claim.epoch).where("state", "=", "running").executeTakeFirst();
      if (result.numUpdatedRows === 1n) await outbox.send(buildRun, { id: claim.id });
    });
  }

  async steps(id: string): Promise<BuildStep[]> {
    const rows = await this.#db.query.selectFrom("build_step").selectAll().where("job_id", "=", id).orderBy("number").execute();
    return rows.map((row) => ({
      number: row.number, instruction: row.instruction, state: row.state as BuildStep["state"], imageId: row.image_id, worker: row.worker, attempt: row.attempt,
      startedAt: row.started_at, finishedAt: row.finished_at, error: row.error,
    }));
  }

  /** Within a transaction that has read the row: its end, whatever it was before. Credentials go. */
  async end(tx: Kysely<BuildDatabase>, row: JobRow, { state, imageId, error }: JobEnd): Promise<void> {
    const spec = { ...fromJson<BuildSpec>(row.spec), auth: {} };
    const finished_at = rfc3339Nano(this.#clock.nowNano());
    await tx.updateTable("build_job").set({ state, image_id: imageId, error, spec: toJson(spec), finished_at }).where("id", "=", row.id).execute();
    await tx.updateTable("build_step").set({ state: state === "failed" ? "failed" : "cancelled", error, finished_at }).where("job_id", "=", row.id).where("state", "=", "running").execute();
  }
}

export async function jobRow(tx: Kysely<BuildDatabase>, id: string): Promise<JobRow> {
  const row = await tx.selectFrom("build_job").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw fail("NO_SUCH_BUILD", `No such build: ${id}`);
  return row;
}

function traceNow(): string | null {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return Object.keys(carrier).length === 0 ? null : toJson(carrier);
}

export const toJob = (row: JobRow): BuildJob => ({
  id: row.id, state: row.state as BuildState, spec: fromJson<BuildSpec>(row.spec), imageId: row.image_id, error: row.error, attempts: row.attempts,
  createdAt: row.created_at, startedAt: row.started_at, finishedAt: row.finished_at, worker: row.worker, step: row.step, steps: row.steps,
  retryOf: row.retry_of, cancelling: row.cancel_requested !== 0 && row.state === "running",
});

/** A tag as lists are filtered by it: with its tag, in the familiar form. */
export const tagOf = (text: string): string => familiarString(withDefaultTag(parseReference(text)));

async function ownRow(tx: Kysely<BuildDatabase>, claim: Claim): Promise<JobRow> {
  const row = await jobRow(tx, claim.id);
  if (row.epoch !== claim.epoch || row.state !== "running") throw fail("STALE_EPOCH", `build ${claim.id} is in other hands (epoch ${claim.epoch} is over)`);
  return row;
}

async function write(tx: Kysely<BuildDatabase>, claim: Claim, job: JobRow, { seq, rows, steps, progress }: LogBatch): Promise<void> {
  const values = rows.map((row, i) => ({ job_id: claim.id, seq: seq + i, step: row.step, output: row.output, message: toJson(row.message) }));
  for (let at = 0; at < values.length; at += ROWS_PER_INSERT) await tx.insertInto("build_log").values(values.slice(at, at + ROWS_PER_INSERT)).execute();
  const changed = steps.map((step) => ({
    job_id: claim.id, number: step.number, instruction: step.instruction, state: step.state, image_id: step.imageId, worker: step.worker, attempt: step.attempt,
    started_at: step.startedAt, finished_at: step.finishedAt, error: step.error,
  }));
  for (let at = 0; at < changed.length; at += ROWS_PER_INSERT) {
    await tx.insertInto("build_step").values(changed.slice(at, at + ROWS_PER_INSERT)).onConflict((c) => c.columns(["job_id", "number"]).doUpdateSet((eb) => ({
      state: eb.ref("excluded.state"), image_id: eb.ref("excluded.image_id"), worker: eb.ref("excluded.worker"), attempt: eb.ref("excluded.attempt"),
      started_at: eb.ref("excluded.started_at"), finished_at: eb.ref("excluded.finished_at"), error: eb.ref("excluded.error"),
    }))).execute();
  }
  const bytes = values.reduce((sum, row) => sum + row.message.length, 0);
  const finished = steps.some((step) => step.state === "done" && step.attempt === claim.attempt);
  await tx.updateTable("build_job").set({
    next_seq: seq + rows.length, step: progress.step, steps: progress.steps, log_bytes: Number(job.log_bytes) + bytes, ...(finished ? { stalled: 1 } : {}),
  }).where("id", "=", claim.id).execute();
}

function checkSame(id: string, there: { spec: string; retry_of: string | null }, spec: BuildSpec, retryOf: string | null): void {
  const same = canonicalJson({ ...fromJson<BuildSpec>(there.spec), auth: {} }) === canonicalJson({ ...spec, auth: {} });
  if (!same || there.retry_of !== retryOf) throw fail("CONFLICT", `build ${id} exists, with other settings: an idempotency key belongs to one request`);
}

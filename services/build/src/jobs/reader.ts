import { type BuildJob, type BuildState, fail } from "@gantry/contracts";
import { type Database, fromJson } from "@gantry/database";
import { cursorText, isFinished, parseCursor, parseLabelFilter } from "../domain/job.ts";
import type { BuildMessage } from "../domain/messages.ts";
import type { BuildDatabase } from "./schema.ts";
import { type JobEnd, jobRow, tagOf, toJob } from "./store.ts";

export interface StoredMessage { readonly seq: number; readonly step: number; readonly message: BuildMessage }

export interface ListQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly states?: readonly BuildState[] | undefined;
  readonly tag?: string | undefined;
  readonly label?: string | undefined;
}

/** Jobs and their logs, for those who look. */
export class JobReader {
  readonly #db: Database<BuildDatabase>;

  constructor(database: Database<BuildDatabase>) {
    this.#db = database;
  }

  async get(id: string): Promise<BuildJob> {
    return toJob(await jobRow(this.#db.query, id));
  }

  /** The ID that begins so. NO_SUCH_BUILD; CONFLICT where several do. */
  async resolve(prefix: string): Promise<string> {
    const rows = await this.#db.query.selectFrom("build_job").select("id").where("id", ">=", prefix).where("id", "<=", prefix.padEnd(64, "f")).limit(2).execute();
    if (rows.length > 1) throw fail("CONFLICT", `several builds have an ID that begins with ${prefix}`);
    if (rows[0] === undefined) throw fail("NO_SUCH_BUILD", `No such build: ${prefix}`);
    return rows[0].id;
  }

  /** Newest first. `next` null: that was all. */
  async list({ limit, cursor, states = [], tag, label }: ListQuery): Promise<{ jobs: BuildJob[]; next: string | null }> {
    let query = this.#db.query.selectFrom("build_job").selectAll();
    if (states.length > 0) query = query.where("state", "in", states);
    if (tag !== undefined) query = query.where("id", "in", (eb) => eb.selectFrom("build_tag").select("job_id").where("tag", "=", tagOf(tag)));
    if (label !== undefined) {
      const { key, value } = parseLabelFilter(label);
      query = query.where("id", "in", (eb) => {
        const named = eb.selectFrom("build_label").select("job_id").where("key", "=", key);
        return value === null ? named : named.where("value", "=", value);
      });
    }
    if (cursor !== undefined) {
      const at = parseCursor(cursor);
      if (at === null) throw fail("INVALID", "cursor is not one that a list has answered");
      query = query.where((eb) => eb.or([eb("submitted_at", "<", at.submittedAt), eb.and([eb("submitted_at", "=", at.submittedAt), eb("id", "<", at.id)])]));
    }
    const rows = await query.orderBy("submitted_at", "desc").orderBy("id", "desc").limit(limit + 1).execute();
    const page = rows.slice(0, limit);
    const last = rows.length > limit ? page.at(-1) : undefined;
    return { jobs: page.map(toJob), next: last === undefined ? null : cursorText({ submittedAt: Number(last.submitted_at), id: last.id }) };
  }

  /** Rows from `from` on, at most `limit`; and the end, when the job has one and these are its last rows. */
  async read(id: string, from: number, limit: number): Promise<{ rows: StoredMessage[]; end: ({ seq: number } & JobEnd) | null }> {
    // The job first: rows that come between the two reads only make the answer longer.
    const job = await jobRow(this.#db.query, id);
    const rows = await this.#db.query.selectFrom("build_log").select(["seq", "step", "message"])
      .where("job_id", "=", id).where("seq", ">=", from).orderBy("seq").limit(limit).execute();
    const next = rows.length > 0 ? rows.at(-1)!.seq + 1 : from;
    const state = job.state as BuildState;
    return {
      rows: rows.map(({ seq, step, message }) => ({ seq, step, message: fromJson<BuildMessage>(message) })),
      end: isFinished(state) && next >= job.next_seq ? { seq: job.next_seq, state, imageId: job.image_id, error: job.error } : null,
    };
  }
}

import type { Migration } from "@gantry/database";

/** Times in milliseconds since the epoch where they are compared, RFC 3339 where they are shown. */
export interface BuildDatabase {
  build_job: {
    id: string;
    state: string;
    /** BuildSpec as JSON; its credentials are taken out when the job has ended. */
    spec: string;
    image_id: string | null;
    error: string | null;
    attempts: number;
    /** Grows with each claim: whoever writes with an older one is refused. */
    epoch: number;
    worker: string | null;
    /** A stamp that changes whenever the worker holds its lease on. */
    lease_until: number;
    cancel_requested: number;
    step: number;
    steps: number;
    /** Sequence number of the next log row. */
    next_seq: number;
    queued_at: number;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
    submitted_at: number;
    retry_of: string | null;
    /** Bytes of the log. */
    log_bytes: number;
    /** Beginnings since a step was finished last. */
    stalled: number;
    /** W3C trace context of who submitted it, as JSON of headers. */
    trace: string | null;
  };
  /** `step`, `output`: see LogRow. */
  build_log: { job_id: string; seq: number; step: number; output: "stdout" | "stderr" | null; message: string };
  build_step: {
    job_id: string;
    number: number;
    instruction: string;
    state: string;
    image_id: string | null;
    worker: string | null;
    attempt: number;
    started_at: string | null;
    finished_at: string | null;
    error: string | null;
  };
  /** What lists of jobs are filtered by. */
  build_tag: { job_id: string; tag: string };
  build_label: { job_id: string; key: string; value: string };
  /** Step key → image that the step made. */
  build_cache: { key: string; image_id: string; made_at: number; used_at: number };
  /** What was copied from another image, by chain ID and path → content digest. */
  build_source: { key: string; digest: string; used_at: number };
}

export const migrations: Readonly<Record<string, Migration>> = {
  "001-jobs": {
    async up(db) {
      await db.schema.createTable("build_job")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("state", "text", (c) => c.notNull())
        .addColumn("spec", "text", (c) => c.notNull())
        .addColumn("image_id", "text")
        .addColumn("error", "text")
        .addColumn("attempts", "integer", (c) => c.notNull())
        .addColumn("epoch", "integer", (c) => c.notNull())
        .addColumn("worker", "text")
        .addColumn("lease_until", "bigint", (c) => c.notNull())
        .addColumn("cancel_requested", "integer", (c) => c.notNull())
        .addColumn("step", "integer", (c) => c.notNull())
        .addColumn("steps", "integer", (c) => c.notNull())
        .addColumn("next_seq", "integer", (c) => c.notNull())
        .addColumn("queued_at", "bigint", (c) => c.notNull())
        .addColumn("created_at", "text", (c) => c.notNull())
        .addColumn("started_at", "text")
        .addColumn("finished_at", "text")
        .execute();
      await db.schema.createIndex("build_job_state").on("build_job").columns(["state", "lease_until"]).execute();
      await db.schema.createIndex("build_job_created").on("build_job").columns(["created_at"]).execute();
      await db.schema.createTable("build_log")
        .addColumn("job_id", "text", (c) => c.notNull())
        .addColumn("seq", "integer", (c) => c.notNull())
        .addColumn("message", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("build_log_key", ["job_id", "seq"])
        .execute();
    },
  },
  "002-cache": {
    async up(db) {
      await db.schema.createTable("build_cache")
        .addColumn("key", "text", (c) => c.primaryKey())
        .addColumn("image_id", "text", (c) => c.notNull())
        .addColumn("used_at", "bigint", (c) => c.notNull())
        .execute();
      await db.schema.createTable("build_source")
        .addColumn("key", "text", (c) => c.primaryKey())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("used_at", "bigint", (c) => c.notNull())
        .execute();
    },
  },
  "003-made-at": {
    async up(db) {
      await db.schema.alterTable("build_cache").addColumn("made_at", "bigint", (c) => c.notNull().defaultTo(0)).execute();
    },
  },
  "004-steps": {
    async up(db) {
      for (const name of ["submitted_at", "log_bytes"]) await db.schema.alterTable("build_job").addColumn(name, "bigint", (c) => c.notNull().defaultTo(0)).execute();
      await db.schema.alterTable("build_job").addColumn("stalled", "integer", (c) => c.notNull().defaultTo(0)).execute();
      for (const name of ["retry_of", "trace"]) await db.schema.alterTable("build_job").addColumn(name, "text").execute();
      await db.schema.createIndex("build_job_submitted").on("build_job").columns(["submitted_at", "id"]).execute();
      await db.schema.alterTable("build_log").addColumn("step", "integer", (c) => c.notNull().defaultTo(0)).execute();
      await db.schema.alterTable("build_log").addColumn("output", "text").execute();
      await db.schema.createTable("build_step")
        .addColumn("job_id", "text", (c) => c.notNull())
        .addColumn("number", "integer", (c) => c.notNull())
        .addColumn("instruction", "text", (c) => c.notNull())
        .addColumn("state", "text", (c) => c.notNull())
        .addColumn("image_id", "text")
        .addColumn("worker", "text")
        .addColumn("attempt", "integer", (c) => c.notNull())
        .addColumn("started_at", "text")
        .addColumn("finished_at", "text")
        .addColumn("error", "text")
        .addPrimaryKeyConstraint("build_step_key", ["job_id", "number"])
        .execute();
      await db.schema.createTable("build_tag")
        .addColumn("job_id", "text", (c) => c.notNull())
        .addColumn("tag", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("build_tag_key", ["job_id", "tag"])
        .execute();
      await db.schema.createIndex("build_tag_tag").on("build_tag").columns(["tag"]).execute();
      await db.schema.createTable("build_label")
        .addColumn("job_id", "text", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("build_label_key", ["job_id", "key"])
        .execute();
      await db.schema.createIndex("build_label_pair").on("build_label").columns(["key"]).execute();
    },
  },
};

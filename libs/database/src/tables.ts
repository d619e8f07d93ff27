import { sql, type Generated } from "kysely";
import type { Migration } from "kysely/migration";
import { columnTypes } from "./schema.ts";

/** The tables every service's database has, beside its own. */
export interface OwnTables {
  gantry_outbox: {
    id: Generated<number>;
    kind: "publish" | "send";
    message: string;
    /** Messages of one destination are sent in order: `events`, the job's name, or the owner's queue. */
    destination: string;
    node: string | null;
    key: string;
    body: string;
    created_at: number;
    /** Trace context headers of who wrote it, as JSON; null: none. */
    trace: string | null;
    /** Why it never will be sent; null: to be sent. */
    failed: string | null;
  };
  gantry_inbox: { consumer: string; message_id: string; seen_at: number };
}

export const ownMigrations: Readonly<Record<string, Migration>> = {
  "0001-outbox-inbox": {
    async up(db) {
      const types = columnTypes(db);
      await sql`create table gantry_outbox (
        id ${types.autoId}, kind text not null, message text not null, destination text not null, node text, key text not null,
        body text not null, created_at bigint not null, failed text)`.execute(db);
      await sql`create table gantry_inbox (
        consumer text not null, message_id text not null, seen_at bigint not null, primary key (consumer, message_id))`.execute(db);
      await sql`create index gantry_inbox_seen on gantry_inbox (seen_at)`.execute(db);
    },
  },
  "0002-outbox-trace": {
    async up(db) {
      await sql`alter table gantry_outbox add column trace text`.execute(db);
    },
  },
};

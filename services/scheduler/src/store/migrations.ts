import type { Migration } from "kysely/migration";

/** In the order of their names; a migration that was released never changes. */
export const migrations: Readonly<Record<string, Migration>> = {
  "0001_records": {
    async up(db) {
      await db.schema.createTable("containers")
        .addColumn("id", "varchar(64)", (c) => c.primaryKey())
        .addColumn("name", "varchar(255)", (c) => c.notNull().unique())
        .addColumn("created", "varchar(32)", (c) => c.notNull())
        .addColumn("node_id", "varchar(64)", (c) => c.notNull())
        .addColumn("image_id", "varchar(80)", (c) => c.notNull())
        .addColumn("status", "varchar(16)", (c) => c.notNull())
        .addColumn("seq", "bigint", (c) => c.notNull())
        .addColumn("spec", "text", (c) => c.notNull())
        .addColumn("state", "text", (c) => c.notNull())
        .execute();
      await db.schema.createIndex("containers_by_image").on("containers").column("image_id").execute();
      await db.schema.createIndex("containers_by_node").on("containers").column("node_id").execute();
      await db.schema.createTable("networks")
        .addColumn("id", "varchar(64)", (c) => c.primaryKey())
        .addColumn("name", "varchar(255)", (c) => c.notNull().unique())
        .addColumn("driver", "varchar(32)", (c) => c.notNull())
        .addColumn("resource", "text", (c) => c.notNull())
        .execute();
      await db.schema.createTable("volumes")
        .addColumn("name", "varchar(255)", (c) => c.primaryKey())
        .addColumn("node_id", "varchar(64)", (c) => c.notNull())
        .addColumn("anonymous", "integer", (c) => c.notNull())
        .addColumn("resource", "text", (c) => c.notNull())
        .execute();
      await db.schema.createTable("nodes")
        .addColumn("node_id", "varchar(64)", (c) => c.primaryKey())
        .addColumn("description", "text", (c) => c.notNull())
        .addColumn("registered_at", "varchar(32)", (c) => c.notNull())
        .execute();
      await db.schema.createTable("leadership")
        .addColumn("id", "integer", (c) => c.primaryKey())
        .addColumn("epoch", "bigint", (c) => c.notNull())
        .execute();
    },
  },
  "0002_tokens": {
    async up(db) {
      await db.schema.createTable("tokens")
        .addColumn("id", "varchar(16)", (c) => c.primaryKey())
        .addColumn("parent", "varchar(16)")
        .addColumn("hash", "varchar(64)", (c) => c.notNull())
        .addColumn("name", "varchar(128)", (c) => c.notNull())
        .addColumn("role", "varchar(16)", (c) => c.notNull())
        .addColumn("created", "varchar(32)", (c) => c.notNull())
        .addColumn("expires", "varchar(32)")
        .addColumn("last_used", "varchar(32)")
        .execute();
      await db.schema.createIndex("tokens_by_parent").on("tokens").column("parent").execute();
    },
  },
  "0003_fleet": {
    async up(db) {
      await db.schema.alterTable("leadership").addColumn("beat", "bigint", (c) => c.notNull().defaultTo(0)).execute();
      await db.schema.alterTable("leadership").addColumn("holder", "varchar(64)", (c) => c.notNull().defaultTo("")).execute();
      await db.schema.alterTable("nodes").addColumn("state", "varchar(16)", (c) => c.notNull().defaultTo("ready")).execute();
      await db.schema.alterTable("nodes").addColumn("since", "varchar(32)", (c) => c.notNull().defaultTo("")).execute();
      await db.schema.alterTable("nodes").addColumn("availability", "varchar(16)", (c) => c.notNull().defaultTo("active")).execute();
      await db.schema.createTable("removals")
        .addColumn("id", "varchar(64)", (c) => c.primaryKey())
        .addColumn("node_id", "varchar(64)", (c) => c.notNull())
        .addColumn("asked_at", "varchar(32)", (c) => c.notNull())
        .execute();
      await db.schema.createIndex("removals_by_node").on("removals").column("node_id").execute();
    },
  },
  "0004_drained_since": {
    async up(db) {
      await db.schema.alterTable("nodes").addColumn("available_since", "varchar(32)", (c) => c.notNull().defaultTo("")).execute();
    },
  },
  "0005_removals_with_volumes": {
    async up(db) {
      await db.schema.alterTable("removals").addColumn("volumes", "integer", (c) => c.notNull().defaultTo(0)).execute();
    },
  },
};

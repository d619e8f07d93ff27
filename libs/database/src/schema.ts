import { PostgresAdapter, type Kysely, type RawBuilder, sql } from "kysely";

/** Column types that have other names on the two databases, for migrations: `addColumn("body", columnTypes(db).blob)`. */
export interface ColumnTypes {
  /** Bytes; read as a Uint8Array. */
  readonly blob: RawBuilder<unknown>;
  /** A number that grows by itself and is the primary key. */
  readonly autoId: RawBuilder<unknown>;
}

// oxlint-disable-next-line typescript/no-explicit-any -- Kysely gives migrations a Kysely<any>.
export function columnTypes(db: Kysely<any>): ColumnTypes {
  return db.getExecutor().adapter instanceof PostgresAdapter
    ? { blob: sql`bytea`, autoId: sql`bigint generated always as identity primary key` }
    : { blob: sql`blob`, autoId: sql`integer primary key autoincrement` };
}

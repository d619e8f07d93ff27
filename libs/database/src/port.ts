import type { BodyOf, Contract } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { Migration } from "kysely/migration";

export type { Migration };

/** Messages that commit with the state they tell of, and are sent afterwards, in order, at least once. */
export interface OutboxWriter {
  publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options?: { key?: string }): Promise<void>;
  send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options?: { node?: string; key?: string }): Promise<void>;
}

/** A service's own database: one SQLite file, or one PostgreSQL schema. */
export interface Database<S> extends AsyncDisposable {
  readonly kind: "sqlite" | "postgres";
  /**
   * Statements outside of transactions. Over a restart of PostgreSQL a read waits, and is done again; one that changes something is not,
   * once it was sent: it fails with UNAVAILABLE, as everything does where the server stays away.
   */
  readonly query: Kysely<S>;
  /**
   * Serializable enough for read-then-write: SQLite has one writer. PostgreSQL does it again after a serialization failure, and where the
   * server went away before the commit; where that happened while it committed it is UNAVAILABLE, and may have been done.
   */
  transaction<T>(work: (tx: Kysely<S>, outbox: OutboxWriter) => Promise<T>): Promise<T>;
  /**
   * Ends every session that a process opened with that `instance` of OpenOptions: what it had under way is undone, its locks
   * are free. For a process that is cut off or stopped, and would hold them for minutes. SQLite, which is of one process: nothing.
   */
  endSessions(instance: string): Promise<void>;
  /** True the first time a message ID is seen by `consumer`, within the transaction: what makes consumers idempotent. */
  firstSight(tx: Kysely<S>, consumer: string, messageId: string): Promise<boolean>;
}

export interface DatabaseOptions {
  /** The service's name: file name or schema name. */
  readonly service: string;
  /** Name → migration, run in the order of their names. */
  readonly migrations: Readonly<Record<string, Migration>>;
}

/** Where committed messages go: the bus, or what a test gives. */
export interface OutboxTarget {
  publish(contract: Contract<"event">, body: never, options?: { key?: string }): Promise<void>;
  send(contract: Contract<"command"> | Contract<"job">, body: never, options?: { node?: string; key?: string }): Promise<void>;
}

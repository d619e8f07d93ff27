import { fail } from "@gantry/contracts";
import { backoffMs, describeError, type Clock, type Logger } from "@gantry/kernel";
import { CompiledQuery, type Kysely } from "kysely";
import { isConnectionFailure, isSerializationFailure } from "./errors.ts";
import { TransactionOutbox } from "./outbox-writer.ts";
import type { Database, OutboxWriter } from "./port.ts";

/** What differs between the two databases. */
export interface Engine<S> {
  readonly kind: "sqlite" | "postgres";
  readonly query: Kysely<S>;
  /** Marks asynchronous work as being within a transaction; refuses a transaction within a transaction. */
  within<T>(work: () => Promise<T>): Promise<T>;
  /** Does the work unless another process does such work on this database. */
  exclusively(work: () => Promise<void>): Promise<"done" | "busy">;
  endSessions(instance: string): Promise<void>;
  /** After a failed attempt: waits a little and answers true where the database is away, and an attempt more is worth it. */
  worthAnother(error: unknown, attempt: number): Promise<boolean>;
  close(): Promise<void>;
}

/** What the relay needs of a database beside the port. */
export interface OutboxAccess {
  readonly service: string;
  onCommit(listener: () => void): () => void;
  exclusively(work: () => Promise<void>): Promise<"done" | "busy">;
  placeholder(index: number): string;
  /** From now on transactions that would write a message fail with UNAVAILABLE, for that reason; null: they may. */
  refuse(reason: string | null): void;
}

const accesses = new WeakMap<object, OutboxAccess>();

export function outboxOf(database: object): OutboxAccess {
  const access = accesses.get(database);
  if (access === undefined) throw fail("INTERNAL", "this database was not opened by openDatabase");
  return access;
}

interface Progress { committing: boolean }

const TRANSACTION_ATTEMPTS = 12;
/** Message IDs are remembered for a week: longer than any queue keeps a message that will be delivered again. */
const INBOX_KEPT_MS = 7 * 24 * 3600 * 1000;
const PRUNE_EVERY_MS = 10 * 60 * 1000;

export class EngineDatabase<S> implements Database<S> {
  readonly kind: "sqlite" | "postgres";
  readonly query: Kysely<S>;
  readonly #engine: Engine<S>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listeners = new Set<() => void>();
  readonly #insertSeen: string;
  #prunedAt = Number.NEGATIVE_INFINITY;
  #refusal: string | null = null;

  constructor(engine: Engine<S>, options: { service: string; clock: Clock; logger: Logger }) {
    this.kind = engine.kind;
    this.query = engine.query;
    this.#engine = engine;
    this.#clock = options.clock;
    this.#logger = options.logger;
    const placeholder = engine.kind === "sqlite" ? (_: number) => "?" : (index: number) => `$${index}`;
    this.#insertSeen = `insert into gantry_inbox (consumer, message_id, seen_at) values (${[1, 2, 3].map(placeholder).join(", ")}) on conflict do nothing`;
    accesses.set(this, {
      service: options.service,
      onCommit: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      exclusively: (work) => engine.exclusively(work),
      placeholder,
      refuse: (reason) => { this.#refusal = reason; },
    });
  }

  async transaction<T>(work: (tx: Kysely<S>, outbox: OutboxWriter) => Promise<T>): Promise<T> {
    for (let attempt = 1, lost = 1; ; attempt++) {
      const progress: Progress = { committing: false };
      try {
        return await this.#once(work, progress);
      } catch (error) {
        if (isConnectionFailure(error)) {
          // Whether it was committed nobody knows.
          if (progress.committing) throw fail("UNAVAILABLE", `the database went away while it committed: ${describeError(error)}`, { cause: error });
          if (!await this.#engine.worthAnother(error, lost++)) throw fail("UNAVAILABLE", `the database is away: ${describeError(error)}: try again later`, { cause: error });
          attempt--;
          continue;
        }
        if (!isSerializationFailure(error)) throw error;
        if (attempt === TRANSACTION_ATTEMPTS) throw fail("UNAVAILABLE", `the database had ${attempt} serialization failures in a row`, { cause: error });
        await this.#clock.sleep(backoffMs(attempt, Math.random, { baseMs: 4, maxMs: 400 }));
      }
    }
  }

  async #once<T>(work: (tx: Kysely<S>, outbox: OutboxWriter) => Promise<T>, progress: Progress): Promise<T> {
    let written = 0;
    const transaction = this.kind === "postgres" ? this.query.transaction().setIsolationLevel("serializable") : this.query.transaction();
    const result = await this.#engine.within(() => transaction.execute(async (tx) => {
      const outbox = new TransactionOutbox(tx, this.kind, this.#clock, this.#refusal);
      const value = await work(tx, outbox);
      written = outbox.written;
      progress.committing = true;
      return value;
    }));
    if (written > 0) for (const listener of this.#listeners) listener();
    return result;
  }

  endSessions(instance: string): Promise<void> {
    return this.#engine.endSessions(instance);
  }

  async firstSight(tx: Kysely<S>, consumer: string, messageId: string): Promise<boolean> {
    const now = this.#clock.now();
    if (now - this.#prunedAt > PRUNE_EVERY_MS) {
      this.#prunedAt = now;
      const before = now - INBOX_KEPT_MS;
      const { numAffectedRows } = await tx.executeQuery(CompiledQuery.raw(`delete from gantry_inbox where seen_at < ${this.kind === "sqlite" ? "?" : "$1"}`, [before]));
      this.#logger.debug({ rows: Number(numAffectedRows ?? 0n) }, "pruned the inbox");
    }
    const { numAffectedRows } = await tx.executeQuery(CompiledQuery.raw(this.#insertSeen, [consumer, messageId, now]));
    return numAffectedRows === 1n;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await this.#engine.close();
  }
}

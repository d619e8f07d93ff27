import type { Database, OutboxWriter } from "@gantry/database";
import { KeyedMutex } from "@gantry/kernel";
import type { Kysely } from "kysely";
import type { SchedulerTables } from "./store/schema.ts";

/** Another scheduler is active, or this one cannot be sure that none is: what was asked is for that one to do. */
export class Superseded extends Error {
  override readonly name = "Superseded";
}

/**
 * The epoch of this scheduler, while it is the active one (election.ts says when). Every write checks the epoch in its own
 * transaction, and every command to a node carries it; so what an earlier scheduler does late is refused, whatever it believes.
 */
export class Leadership {
  readonly #database: Database<SchedulerTables>;
  readonly #monotonic: () => number;
  /** Writes are one at a time, as SQLite has them anyway: beside each other they would only undo each other in PostgreSQL. */
  readonly #turn = new KeyedMutex();
  #epoch = 0;
  #until = Number.POSITIVE_INFINITY;
  #term = endedTerm();
  #sure = Promise.withResolvers<void>();

  constructor(database: Database<SchedulerTables>, monotonic: () => number = () => performance.now()) {
    this.#database = database;
    this.#monotonic = monotonic;
  }

  /** Of the present term, or of the last one. */
  get epoch(): number { return this.#epoch; }

  /** Aborts when the term ends. */
  get term(): AbortSignal { return this.#term.signal; }

  /** The lease is sure until then, by the clock given; Infinity without one. */
  begin(epoch: number, until: number): void {
    this.#epoch = epoch;
    this.#until = until;
    this.#term = new AbortController();
  }

  renew(until: number): void {
    this.#until = until;
    const sure = this.#sure;
    this.#sure = Promise.withResolvers();
    sure.resolve();
  }

  end(): void {
    this.#term.abort(new Superseded("this scheduler is not the active one"));
  }

  /** Resolves when the lease is renewed next. */
  get renewed(): Promise<void> { return this.#sure.promise; }

  /** Throws Superseded unless this is the active scheduler, as far as can be told without asking. */
  check(): void {
    if (this.#monotonic() > this.#until) this.end();
    this.#term.signal.throwIfAborted();
  }

  /** A transaction of the active scheduler; Superseded if it is not. `work` may run more than once and must have no effect outside of it. */
  async transaction<T>(work: (tx: Kysely<SchedulerTables>, outbox: OutboxWriter) => Promise<T>): Promise<T> {
    this.check();
    const epoch = this.#epoch;
    const fenced = () => this.#database.transaction(async (tx, outbox) => {
      const row = await tx.selectFrom("leadership").select("epoch").where("id", "=", 1).executeTakeFirst();
      if (Number(row?.epoch ?? 0) !== epoch) throw new Superseded(`epoch ${Number(row?.epoch ?? 0)} has begun, this scheduler has ${epoch}`);
      return work(tx, outbox);
    });
    try {
      return await (this.#database.kind === "postgres" ? this.#turn.run("write", fenced) : fenced());
    } catch (e) {
      if (e instanceof Superseded && epoch === this.#epoch) this.end();
      throw e;
    }
  }
}

function endedTerm(): AbortController {
  const term = new AbortController();
  term.abort(new Superseded("this scheduler is not the active one"));
  return term;
}

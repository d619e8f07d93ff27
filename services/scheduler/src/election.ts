import type { Database } from "@gantry/database";
import { describeError, type Clock, type Logger, type Scope } from "@gantry/kernel";
import type { Kysely } from "kysely";
import { look, type Watch } from "./domain/lease.ts";
import type { Leadership } from "./leadership.ts";
import type { SchedulerTables } from "./store/schema.ts";

export interface LeaseTimes {
  /** The active scheduler renews its lease, and others look at it, this often. */
  readonly beatMs: number;
  /** The active one stops when it could not renew for this long, from the beginning of its last success. */
  readonly sureMs: number;
  /** Another one takes over when it has seen no renewal for this long. More than `sureMs`. */
  readonly silentMs: number;
}

/** A scheduler that is gone is replaced in three seconds: `silentMs`, two looks, and what the beginning takes. */
export const LEASE: LeaseTimes = { beatMs: 300, sureMs: 2_000, silentMs: 2_400 };

export interface ElectionOptions {
  readonly database: Database<SchedulerTables>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Leadership;
  /** Unique to this process; the database was opened with it. */
  readonly instance: string;
  /** Null: there is no other scheduler (SQLite). The lease is taken at once, and kept without renewing. */
  readonly lease: LeaseTimes | null;
  /** Begins to act. What it registers on the scope ends with the term. */
  readonly lead: (term: Scope) => Promise<void>;
  readonly monotonic?: () => number;
}

interface Row { epoch: number; beat: number; holder: string }

/**
 * Stands by until the active scheduler is gone, then acts until the lease is lost, again and again. The lease is a row in the
 * database that the active one changes; it is fail-over and not mutual exclusion, which is what the epoch is for.
 */
export class Election implements AsyncDisposable {
  readonly #options: ElectionOptions;
  readonly #monotonic: () => number;
  readonly #closing = new AbortController();
  readonly #settled = Promise.withResolvers<void>();
  readonly #running: Promise<void>;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#settled.promise.catch(() => {});
    this.#running = this.#run();
  }

  /** Resolves when this scheduler acts for the first time, or knows that another one does; rejects with what kept the only one from it. */
  get settled(): Promise<void> { return this.#settled.promise; }

  async #run(): Promise<void> {
    const { lease, clock, logger } = this.#options;
    while (!this.#closing.signal.aborted) {
      try {
        if (await this.#standBy()) await this.#act();
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        if (lease === null) return this.#settled.reject(error as Error);
        logger.warn({ err: error }, `the scheduler's lease: ${describeError(error)}`);
      }
      await clock.sleep(lease?.beatMs ?? 1_000, this.#closing.signal).catch(() => undefined);
    }
  }

  /** True when the lease is this scheduler's. */
  async #standBy(): Promise<boolean> {
    const { lease, clock, instance, logger } = this.#options;
    let told = false;
    if (lease === null) return this.#take(await this.#read());
    let watch: Watch | null = null;
    while (!this.#closing.signal.aborted) {
      const row = await within(this.#read(), lease.silentMs, clock);
      watch = look(watch, `${row.epoch} ${row.beat}`, this.#monotonic(), lease.beatMs);
      // What it held itself in an earlier term is its own to take.
      if (row.holder !== "" && row.holder !== instance && !told) {
        told = true;
        logger.info({ holder: row.holder, epoch: row.epoch }, "another scheduler is the active one; this one waits");
        this.#settled.resolve();
      }
      if (row.holder === "" || row.holder === instance || watch.silentMs >= lease.silentMs) return this.#take(row);
      await clock.sleep(lease.beatMs, this.#closing.signal);
    }
    return false;
  }

  async #read(): Promise<Row> {
    const row = await this.#options.database.query.selectFrom("leadership").select(["epoch", "beat", "holder"]).where("id", "=", 1).executeTakeFirst();
    return row === undefined ? { epoch: 0, beat: 0, holder: "" } : { epoch: Number(row.epoch), beat: Number(row.beat), holder: row.holder };
  }

  /** False when another was faster, or the lease was renewed after all. */
  async #take(seen: Row): Promise<boolean> {
    const { database, instance, leadership, lease, logger } = this.#options;
    // It may have been stopped in the middle of a transaction, whose locks would be in our way.
    if (seen.holder !== "" && seen.holder !== instance) await database.endSessions(seen.holder);
    const started = this.#monotonic();
    const epoch = await database.transaction(async (tx) => {
      const row = await tx.selectFrom("leadership").select(["epoch", "beat", "holder"]).where("id", "=", 1).executeTakeFirst();
      const now = { epoch: Number(row?.epoch ?? 0), beat: Number(row?.beat ?? 0) };
      if (now.epoch !== seen.epoch || now.beat !== seen.beat) return null;
      await write(tx, { epoch: now.epoch + 1, beat: now.beat + 1, holder: instance }, row === undefined);
      return now.epoch + 1;
    });
    if (epoch === null) return false;
    logger.info({ epoch, before: seen.holder }, "this scheduler is the active one");
    leadership.begin(epoch, lease === null ? Number.POSITIVE_INFINITY : started + lease.sureMs);
    return true;
  }

  async #act(): Promise<void> {
    const { leadership, lease, logger, lead } = this.#options;
    const term = new AsyncDisposableStack();
    const renewing = lease === null ? Promise.resolve() : this.#renew(lease);
    try {
      await lead(term);
      this.#settled.resolve();
      await until(leadership.term, this.#closing.signal);
    } finally {
      // Handlers finish what they have in hand when the process ends in order; when the lease is lost they leave it to the next one.
      if (leadership.term.aborted) logger.warn({ epoch: leadership.epoch }, "this scheduler is not the active one any more; it stands by");
      await term.disposeAsync();
      leadership.end();
      await renewing;
      await this.#release();
    }
  }

  async #renew({ beatMs, sureMs }: LeaseTimes): Promise<void> {
    const { database, leadership, clock, logger } = this.#options;
    const { epoch, term } = leadership;
    let sureUntil = this.#monotonic() + sureMs;
    while (!term.aborted) {
      await clock.sleep(beatMs, term).catch(() => undefined);
      const started = this.#monotonic();
      try {
        const beat = database.query.updateTable("leadership").set((eb) => ({ beat: eb("beat", "+", 1) })).where("id", "=", 1).where("epoch", "=", epoch).executeTakeFirst();
        const { numUpdatedRows } = await within(beat, Math.max(1, sureUntil - started), clock);
        if (numUpdatedRows === 0n) return leadership.end();
        sureUntil = started + sureMs;
        leadership.renew(sureUntil);
      } catch (error) {
        if (this.#monotonic() >= sureUntil) {
          logger.warn({ epoch }, `could not renew the scheduler's lease: ${describeError(error)}`);
          return leadership.end();
        }
      }
    }
  }

  /** Lets the next one take over at once. */
  async #release(): Promise<void> {
    const { database, leadership, clock, logger, lease } = this.#options;
    if (lease === null) return;
    const released = database.query.updateTable("leadership").set((eb) => ({ holder: "", beat: eb("beat", "+", 1) })).where("id", "=", 1).where("epoch", "=", leadership.epoch).execute();
    await within(released, lease.sureMs, clock).catch((error: unknown) => logger.debug({}, `could not release the scheduler's lease: ${describeError(error)}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }
}

async function write(tx: Kysely<SchedulerTables>, row: Row, first: boolean): Promise<void> {
  if (first) await tx.insertInto("leadership").values({ id: 1, ...row }).execute();
  else await tx.updateTable("leadership").set(row).where("id", "=", 1).execute();
}

function until(...signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const any = AbortSignal.any(signals);
    if (any.aborted) resolve();
    else any.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The promise's value, unless that takes longer. */
async function within<T>(promise: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const done = new AbortController();
  promise.catch(() => {});
  try {
    return await Promise.race([promise, clock.sleep(ms, done.signal).then(() => { throw new Error(`no answer within ${Math.round(ms)} ms`); })]);
  } finally {
    done.abort();
  }
}

import { allContracts, type Contract } from "@gantry/contracts";
import { backoffMs, describeError, failpoint, isGantryError, type Logger } from "@gantry/kernel";
import { metric, observe } from "@gantry/telemetry/metrics";
import { CompiledQuery, type Kysely } from "kysely";
import { outboxOf } from "./engine.ts";
import type { Database, OutboxTarget } from "./port.ts";
import { withinTrace } from "./trace.ts";

export interface RelayOptions {
  readonly logger: Logger;
  /** How often to look for what a crash, or another process, left; milliseconds, default 5 s. */
  readonly pollMs?: number;
  /** Delays before a destination that failed is tried again; default from 50 ms up to 10 s. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
  readonly random?: () => number;
  /** Messages that wait; past them transactions with more are refused, as soon as that is seen (`pollMs`). Default 100,000. */
  readonly maxWaiting?: number;
}

interface Row { id: number; kind: string; message: string; destination: string; node: string | null; key: string; body: string; trace: string | null }
interface Blocked { attempt: number; until: number }

const BATCH = 128;
const CLOSE_GRACE_MS = 5_000;
/** Errors that no repetition mends. */
const PERMANENT = new Set(["INVALID", "TOO_LARGE", "NOT_IMPLEMENTED"]);

/**
 * Sends what committed transactions put into the outbox, at least once, in the order of commit for each destination, each
 * message with the same key every time. A destination that fails holds back its own messages only. A message that can never be
 * sent is kept with the reason in `failed`, and logged. While too many wait, transactions that would add to them fail with UNAVAILABLE.
 *
 * Woken by each commit in this process. With several processes on one PostgreSQL schema, one relay at a time works.
 * Disposing waits for the message being sent, up to five seconds: it may be sent again by the next relay.
 */
export function relayOutbox<S>(database: Database<S>, target: OutboxTarget, options: RelayOptions): AsyncDisposable {
  return new Relay(database, target, options);
}

class Relay<S> implements AsyncDisposable {
  readonly #query: Kysely<S>;
  readonly #outbox: ReturnType<typeof outboxOf>;
  readonly #target: OutboxTarget;
  readonly #options: RelayOptions;
  readonly #blocked = new Map<string, Blocked>();
  readonly #poll: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  readonly #observed: Disposable;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #woken = false;
  #full = false;
  #closed = false;

  constructor(database: Database<S>, target: OutboxTarget, options: RelayOptions) {
    this.#query = database.query;
    this.#outbox = outboxOf(database);
    this.#target = target;
    this.#options = options;
    this.#unsubscribe = this.#outbox.onCommit(() => this.#wake());
    this.#observed = observe(metric.outboxBacklog, async (observed) => {
      const { rows } = await this.#query.executeQuery<{ waiting: number; failed: number }>(CompiledQuery.raw(
        "select count(*) - count(failed) as waiting, count(failed) as failed from gantry_outbox"));
      for (const state of ["waiting", "failed"] as const) observed(Number(rows[0]?.[state] ?? 0), { service: this.#outbox.service, state });
    });
    this.#poll = setInterval(() => {
      this.#wake();
      void this.#bound();
    }, options.pollMs ?? 5_000);
    this.#poll.unref();
    this.#wake();
  }

  #wake(): void {
    this.#woken = true;
    if (this.#closed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      if (this.#woken) this.#wake();
    });
  }

  async #run(): Promise<void> {
    while (this.#woken && !this.#closed) {
      this.#woken = false;
      try {
        if (await this.#outbox.exclusively(() => this.#drain()) === "busy") this.#later(50);
      } catch (error) {
        this.#options.logger[this.#closed ? "debug" : "error"]({ err: error }, `outbox: ${describeError(error)}`);
        this.#later(1_000);
      }
    }
    const next = Math.min(...[...this.#blocked.values()].map((blocked) => blocked.until));
    if (Number.isFinite(next)) this.#later(Math.max(1, next - performance.now()));
  }

  async #drain(): Promise<void> {
    for (;;) {
      const now = performance.now();
      const held = [...this.#blocked].filter(([, blocked]) => blocked.until > now).map(([destination]) => destination);
      const rows = await this.#read(held);
      if (rows.length === 0 || this.#closed) return;
      const failed = new Set<string>();
      const sent: number[] = [];
      for (const row of rows) {
        if (this.#closed) break;
        if (failed.has(row.destination)) continue;
        if (await this.#send(row)) sent.push(row.id);
        else failed.add(row.destination);
      }
      await this.#forget(sent);
    }
  }

  /** False when it is to be tried again later. */
  async #send(row: Row): Promise<boolean> {
    try {
      const contract = allContracts().get(row.message);
      if (contract === undefined) {
        await this.#setAside(row, `no contract ${row.message} is known to this version`);
        return true;
      }
      const body = JSON.parse(row.body) as never;
      await withinTrace(row.trace, () => row.kind === "publish"
        ? this.#target.publish(contract as Contract<"event">, body, { key: row.key })
        : this.#target.send(contract as Contract<"command"> | Contract<"job">, body, { key: row.key, ...(row.node === null ? {} : { node: row.node }) }));
      this.#blocked.delete(row.destination);
      await failpoint("database.outbox.sent");
      return true;
    } catch (error) {
      if (isGantryError(error) && PERMANENT.has(error.code)) {
        await this.#setAside(row, error.message);
        return true;
      }
      this.#block(row, error);
      return false;
    }
  }

  #block(row: Row, error: unknown): void {
    const { logger, random = Math.random, backoff = { baseMs: 50, maxMs: 10_000 } } = this.#options;
    const attempt = (this.#blocked.get(row.destination)?.attempt ?? 0) + 1;
    const delay = backoffMs(attempt, random, backoff);
    this.#blocked.set(row.destination, { attempt, until: performance.now() + delay });
    // The tenth failure in a row is worth a louder word than the first.
    logger[attempt === 10 ? "error" : "debug"](
      { destination: row.destination, message: row.message, attempt, delayMs: Math.round(delay) }, `outbox: ${row.destination} does not take messages: ${describeError(error)}`);
  }

  async #read(held: readonly string[]): Promise<Row[]> {
    const places = held.map((_, i) => this.#outbox.placeholder(i + 1)).join(", ");
    const { rows } = await this.#query.executeQuery<Row>(CompiledQuery.raw(
      `select id, kind, message, destination, node, key, body, trace from gantry_outbox where failed is null${held.length > 0 ? ` and destination not in (${places})` : ""} order by id limit ${BATCH}`,
      [...held]));
    return rows;
  }

  async #forget(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#query.executeQuery(CompiledQuery.raw(`delete from gantry_outbox where failed is null and id in (${ids.map((_, i) => this.#outbox.placeholder(i + 1)).join(", ")})`, [...ids]));
  }

  async #setAside(row: Row, reason: string): Promise<void> {
    this.#options.logger.error({ destination: row.destination, message: row.message, key: row.key }, `outbox: never to be sent: ${reason}`);
    await this.#query.executeQuery(CompiledQuery.raw(`update gantry_outbox set failed = ${this.#outbox.placeholder(1)} where id = ${this.#outbox.placeholder(2)}`, [reason.slice(0, 2_000), row.id]));
  }

  /** A broker that takes nothing for long must not fill the database: what cannot be told any more is not begun either. */
  async #bound(): Promise<void> {
    const { maxWaiting = 100_000, logger } = this.#options;
    try {
      const { rows } = await this.#query.executeQuery<{ waiting: number }>(CompiledQuery.raw(
        `select count(*) as waiting from (select 1 from gantry_outbox where failed is null limit ${maxWaiting}) as waiting_ones`));
      const full = Number(rows[0]?.waiting ?? 0) >= maxWaiting;
      if (full !== this.#full) logger[full ? "error" : "info"]({ maxWaiting }, full ? "the outbox is full: what would add to it is refused" : "the outbox has room again");
      this.#full = full;
      if (!this.#closed) this.#outbox.refuse(full ? `${maxWaiting} messages of ${this.#outbox.service} wait for the message broker already: try again later` : null);
    } catch (error) {
      logger.warn({}, `counting the outbox: ${describeError(error)}`);
    }
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#wake(), ms);
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#observed[Symbol.dispose]();
    clearInterval(this.#poll);
    clearTimeout(this.#timer);
    if (this.#running === null) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CLOSE_GRACE_MS);
    await Promise.race([this.#running, late]);
    clearTimeout(timer);
  }
}

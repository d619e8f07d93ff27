import { buildProgress, type BuildStep, type BuildStepState } from "@gantry/contracts";
import type { Bus } from "@gantry/bus";
import { backoffMs, type Clock, describeError, isGantryError, type Logger, rfc3339Nano } from "@gantry/kernel";
import type { LogRow } from "../domain/messages.ts";
import { Replay } from "../domain/replay.ts";
import type { JobSignals } from "./signals.ts";
import type { Claim, JobEnd, JobStore, LogBatch } from "./store.ts";

const MAX_BATCH = 2_000;
/** Other processes are told at most this often that there is more. */
const PUBLISH_EVERY_MS = 50;
/** A writer that is this far ahead of the database waits for it. */
const HIGH_WATER = 10_000;

export interface JobLogOptions {
  readonly store: JobStore;
  readonly signals: JobSignals;
  readonly bus: Pick<Bus, "publish">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly claim: Claim;
  /** Bytes of log that one job may write, over all its attempts. What comes after is dropped, with a word about it; errors are kept. */
  readonly maxBytes: number;
  /** Ends the writing: the job is stopped, or no longer ours. */
  readonly signal: AbortSignal;
  /** Called once when the database says that the job is no longer ours, or refuses to write. */
  readonly onLost: (error: unknown) => void;
}

interface StepEntry {
  readonly step: BuildStep;
  /** What must be done before the step may count as finished. */
  readonly after: Promise<unknown> | null;
  readonly written: PromiseWithResolvers<void>;
}
type Entry = { readonly row: LogRow } | StepEntry;

/**
 * The log and the steps of a running job. What is written goes to the database in the order of writing, in batches: one while the next
 * one gathers. What earlier attempts told is not told again ({@link Replay}).
 */
export class JobLog {
  readonly #options: JobLogOptions;
  readonly #replay: Replay | null;
  readonly #steps: Map<number, BuildStep>;
  #queue: Entry[] = [];
  #running: Promise<void> | null = null;
  #seq: number;
  #bytes: number;
  #clipped: boolean;
  #told: boolean;
  #failure: { readonly error: unknown } | null = null;
  #publishedAt = -Infinity;
  #progress = { step: 0, steps: 0 };

  constructor(options: JobLogOptions) {
    const { claim, maxBytes } = options;
    this.#options = options;
    this.#replay = claim.resumed === null ? null : new Replay(claim.resumed.told);
    this.#steps = new Map(claim.resumed?.steps.map((step) => [step.number, step]) ?? []);
    this.#progress.steps = Math.max(0, ...this.#steps.keys());
    this.#seq = claim.nextSeq;
    this.#told = claim.nextSeq > 0;
    this.#bytes = claim.logBytes;
    this.#clipped = claim.logBytes >= maxBytes;
  }

  write(...rows: readonly LogRow[]): void {
    for (const row of rows) for (const told of this.#replay?.pass(row) ?? [row]) this.#take(told);
    this.#start();
  }

  #take(row: LogRow): void {
    const { maxBytes } = this.#options;
    const size = JSON.stringify(row.message).length;
    if (this.#bytes + size > maxBytes && !("error" in row.message)) {
      if (!this.#clipped) this.#queue.push({ row: { step: row.step, output: null, message: { stream: `\n[output clipped, log limit ${limitText(maxBytes)} reached]\n` } } });
      this.#clipped = true;
      this.#bytes = Math.max(this.#bytes, maxBytes);
      return;
    }
    this.#bytes += size;
    this.#told = true;
    this.#queue.push({ row });
  }

  /** The steps that there will be. Those that an earlier attempt has finished stay so. */
  plan(instructions: readonly { readonly number: number; readonly instruction: string }[]): void {
    this.#progress.steps = Math.max(0, ...instructions.map(({ number }) => number));
    for (const { number, instruction } of instructions) {
      if (this.#steps.has(number)) continue;
      this.#enqueue({ number, instruction, state: "pending", imageId: null, worker: null, attempt: 0, startedAt: null, finishedAt: null, error: null }, null);
    }
    this.#start();
  }

  begin(number: number): void {
    const { claim } = this.#options;
    this.#progress.step = Math.max(this.#progress.step, number);
    const step = this.#steps.get(number);
    if (step === undefined || this.imageOf(number) !== null) return;
    this.#enqueue({ ...step, state: "running", worker: claim.worker, attempt: claim.attempt, startedAt: this.#now(), finishedAt: null, error: null }, null);
    this.#start();
  }

  /** Resolves when it is written down that the step is over. With `after`: not before that is done. */
  async end(number: number, state: Extract<BuildStepState, "done" | "cached">, imageId: string | null, after: Promise<unknown> | null): Promise<void> {
    const step = this.#steps.get(number);
    if (step === undefined || (imageId !== null && this.imageOf(number) === imageId)) return;
    const written = this.#enqueue({ ...step, state, imageId, finishedAt: this.#now() }, after);
    this.#start();
    await written;
  }

  /** The image that a step has made, in whatever attempt; null where it has not. */
  imageOf(number: number): string | null {
    const step = this.#options.claim.resumed?.steps.find((one) => one.number === number);
    return step?.state === "done" || step?.state === "cached" ? step.imageId : null;
  }

  /** Number for what comes after the last step. */
  get tail(): number {
    return this.#progress.steps + 1;
  }

  /** Whether nothing was told, in this attempt or before. */
  get empty(): boolean {
    return !this.#told;
  }

  /** Waits where the database is far behind. */
  async ready(): Promise<void> {
    if (this.#queue.length > HIGH_WATER) await this.flush();
  }

  /** Resolves when all written so far is in the database, or never will be. */
  async flush(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Writes the last rows and the end of the job in one go. */
  async finish(end: JobEnd, ...rows: readonly LogRow[]): Promise<void> {
    await this.flush();
    if (this.#failure !== null) throw this.#failure.error;
    for (const row of rows) for (const told of this.#replay?.pass(row) ?? [row]) this.#take(told);
    const last = this.#queue.splice(0);
    await this.#patiently(() => this.#options.store.finish(this.#options.claim, end, this.#batch(last)), null);
  }

  #enqueue(step: BuildStep, after: Promise<unknown> | null): Promise<void> {
    const written = Promise.withResolvers<void>();
    // Its failure is that of the whole log, which is told by onLost.
    written.promise.catch(() => {});
    this.#steps.set(step.number, step);
    this.#queue.push({ step, after, written });
    return written.promise;
  }

  #start(): void {
    if (this.#failure === null) this.#running ??= this.#run();
    else this.#drop();
  }

  async #run(): Promise<void> {
    const { store, signals, claim, onLost, signal } = this.#options;
    // One turn later, so that lines written together go together.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) {
        const first = this.#queue[0]!;
        if ("step" in first && first.after !== null) {
          try {
            await first.after;
            this.#queue[0] = { ...first, after: null };
          } catch (error) {
            this.#queue.shift();
            first.written.reject(error);
          }
          continue;
        }
        const waits = this.#queue.findIndex((entry) => "step" in entry && entry.after !== null);
        const entries = this.#queue.splice(0, Math.min(MAX_BATCH, waits < 0 ? MAX_BATCH : waits));
        const batch = this.#batch(entries);
        await this.#patiently(() => store.append(claim, batch), signal);
        this.#seq += batch.rows.length;
        for (const entry of entries) if ("step" in entry) entry.written.resolve();
        signals.notify(claim.id);
        this.#publish();
      }
    } catch (error) {
      this.#failure = { error };
      this.#drop();
      onLost(error);
    } finally {
      this.#running = null;
    }
  }

  #drop(): void {
    for (const entry of this.#queue.splice(0)) if ("step" in entry) entry.written.reject(this.#failure?.error);
  }

  #batch(entries: readonly Entry[]): LogBatch {
    const rows = entries.flatMap((entry) => ("row" in entry ? [entry.row] : []));
    // Of several changes of a step the last one counts.
    const steps = new Map(entries.flatMap((entry) => ("step" in entry ? [[entry.step.number, entry.step] as const] : [])));
    return { seq: this.#seq, rows, steps: [...steps.values()], progress: { ...this.#progress } };
  }

  /** A database that is away is waited for: whether the job is still ours it says when it is back. */
  async #patiently(work: () => Promise<void>, signal: AbortSignal | null): Promise<void> {
    const { clock, logger, claim } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!isGantryError(error, "UNAVAILABLE") || attempt === MAX_TRIES) throw error;
        if (attempt === 1) logger.warn({ build: claim.id, error: describeError(error) }, "the log of a build waits for the database");
        await clock.sleep(backoffMs(attempt, Math.random, { baseMs: 50, maxMs: 1_000 }), signal ?? undefined);
      }
    }
  }

  #publish(): void {
    const { bus, clock, claim, logger } = this.#options;
    if (clock.now() - this.#publishedAt < PUBLISH_EVERY_MS) return;
    this.#publishedAt = clock.now();
    bus.publish(buildProgress, { id: claim.id, seq: this.#seq, state: "running" }).catch((e: unknown) => {
      if (!isGantryError(e, "UNAVAILABLE")) logger.warn({ build: claim.id, error: describeError(e) }, "cannot tell of a build's progress");
    });
  }

  #now(): string {
    return rfc3339Nano(this.#options.clock.nowNano());
  }
}

/** About two minutes of a database that is away. */
const MAX_TRIES = 130;

const limitText = (bytes: number): string => (bytes >= 1024 * 1024 ? `${Math.floor(bytes / 1024 / 1024)}MiB` : `${bytes} bytes`);


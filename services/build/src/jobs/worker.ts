import { on } from "@gantry/bus";
import { buildProgress, buildRun, fail, workerPing } from "@gantry/contracts";
import { backoffMs, describeError } from "@gantry/kernel";
import { CANCELLED, type JobTools, runJob, STOPPING } from "./run-job.ts";
import type { JobSignals } from "./signals.ts";
import type { Claim } from "./store.ts";

export interface WorkerOptions extends JobTools {
  /** Unique among the workers, and the same after a restart. */
  readonly name: string;
  /** Builds at once. */
  readonly slots: number;
  readonly renewMs: number;
}

interface Running {
  readonly claim: Claim;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * Builds jobs: a message of the queue says that one waits, and the one that has waited longest is claimed in the database; the message
 * goes, and the lease is held on while the job is built. A worker with all its slots taken does not listen, so that others get what
 * comes; one that gets a slot free first looks for what waits already.
 */
export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #running = new Set<Running>();
  readonly #stopping = new AbortController();
  #consumer: AsyncDisposable | null = null;
  #presence: AsyncDisposable | null = null;
  #listening: Promise<void> = Promise.resolve();
  #filling: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, name } = this.#options;
    this.#presence = await bus.serve(`worker.${name}`, [on(workerPing, async () => ({ jobs: this.#running.size }))]);
    this.#listen();
    await this.#listening;
  }

  /** Somebody asked for a change of a job's state, here or elsewhere. */
  notice(id: string): void {
    for (const { claim, stop } of this.#running) if (claim.id === id) void this.#renew(claim, stop);
  }

  /** Builds it is at. */
  get running(): number {
    return this.#running.size;
  }

  get #full(): boolean {
    return this.#running.size >= this.#options.slots;
  }

  #listen(): void {
    const { bus, logger } = this.#options;
    this.#listening = this.#listening.then(async () => {
      const want = !this.#stopping.signal.aborted && !this.#full;
      if (want && this.#consumer === null) {
        this.#consumer = await bus.work(on(buildRun, async ({ id }) => { await this.#offered(id); return { id }; }), { concurrency: 1 });
      } else if (!want && this.#consumer !== null) {
        const consumer = this.#consumer;
        this.#consumer = null;
        await consumer[Symbol.asyncDispose]();
      }
    }).catch((e: unknown) => logger.error({ error: describeError(e) }, "cannot change over listening for build jobs"));
  }

  async #offered(id: string): Promise<void> {
    if (this.#stopping.signal.aborted) throw STOPPING;
    // It was on its way when listening stopped: it is for others.
    if (this.#full) return await this.#options.bus.send(buildRun, { id });
    await this.#fill();
  }

  /** Claims what waits, as long as there are slots. One at a time. A database that is away is waited for. */
  #fill(): Promise<void> {
    const { store, name, signals, clock, logger } = this.#options;
    return this.#filling = this.#filling.then(async () => {
      for (let failures = 0; !this.#full && !this.#stopping.signal.aborted;) {
        try {
          const claim = await store.claim(name);
          failures = 0;
          if (claim === null) break;
          signals.notify(claim.id);
          this.#begin(claim);
        } catch (e) {
          if (++failures === 1) logger.warn({ error: describeError(e) }, "cannot claim build jobs");
          await clock.sleep(backoffMs(failures, Math.random, { baseMs: 50, maxMs: 1_000 }), this.#stopping.signal).catch(() => {});
        }
      }
      this.#listen();
    });
  }

  #begin(claim: Claim): void {
    const { bus, clock, renewMs } = this.#options;
    const stop = new AbortController();
    const over = new AbortController();
    const renewing = (async () => {
      for (;;) {
        await clock.sleep(renewMs, over.signal);
        await this.#renew(claim, stop);
      }
    })().catch(() => {});
    bus.publish(buildProgress, { id: claim.id, seq: claim.nextSeq, state: "running" }).catch(() => {});
    const done = runJob(this.#options, claim, stop).finally(async () => {
      over.abort();
      await renewing;
      this.#running.delete(running);
      if (!this.#stopping.signal.aborted) void this.#fill();
    });
    const running = { claim, stop, done };
    this.#running.add(running);
  }

  async #renew(claim: Claim, stop: AbortController): Promise<void> {
    const { store, logger } = this.#options;
    try {
      const state = await store.renew(claim);
      if (state === "cancelled") stop.abort(CANCELLED);
      if (state === "lost") stop.abort(fail("STALE_EPOCH", "another worker has the build"));
    } catch (e) {
      logger.warn({ build: claim.id, error: describeError(e) }, "cannot renew the lease of a build");
    }
  }

  /** Stops listening, and gives running builds back to the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(STOPPING);
    this.#listen();
    for (const { stop } of this.#running) stop.abort(STOPPING);
    await this.#filling;
    await Promise.allSettled([...this.#running].map(({ done }) => done));
    await this.#listening;
    await this.#presence?.[Symbol.asyncDispose]();
  }
}

export const progressRoute = (worker: Worker, signals: JobSignals) =>
  on(buildProgress, async ({ id, seq, state }) => {
    signals.notify(id);
    if (state === "cancelled") worker.notice(id);
    return { id, seq, state };
  });

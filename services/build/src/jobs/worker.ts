import { type Bus, on } from "@gantry/bus";
import { blobStat, buildProgress, buildRun, fail } from "@gantry/contracts";
import { type Clock, describeError, GantryError, isGantryError, type Logger } from "@gantry/kernel";
import { trace } from "@opentelemetry/api";
import { type Builder, runBuild } from "../build/build.ts";
import { errorMessage, quietLine, type BuildMessage } from "../domain/messages.ts";
import { JobLog } from "./log.ts";
import type { JobSignals } from "./signals.ts";
import type { Claim, JobStore } from "./store.ts";

const tracer = trace.getTracer("gantry.build");

export interface WorkerOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: JobStore;
  readonly signals: JobSignals;
  readonly builder: Builder;
  /** Unique among the workers, and the same after a restart. */
  readonly name: string;
  /** Builds at once. */
  readonly slots: number;
  readonly leaseMs: number;
}

/** Lines that a quiet build keeps, to tell when it fails. */
const QUIET_LINES = 10_000;
/** A queued job that no worker took within this time is offered again: its message may be lost. */
const PATIENCE_MS = 60_000;
const CANCELLED = "build cancelled";

/**
 * Takes jobs off the queue: claims a job in the database, lets the message go, and builds while it renews the lease. A worker
 * with all its slots taken does not listen, so that others get what comes.
 */
export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #running = new Map<string, { stop: AbortController; done: Promise<void>; check: () => void }>();
  readonly #stopping = new AbortController();
  #consumer: AsyncDisposable | null = null;
  #listening: Promise<void> = Promise.resolve();
  #slotFree: PromiseWithResolvers<void> | null = null;
  #sweeper: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** Offers again what an earlier life of this worker left, then listens. */
  async start(): Promise<void> {
    await this.#options.store.requeue(0, this.#options.name);
    this.#listen();
    await this.#listening;
    this.#sweeper = this.#sweep();
  }

  /** Somebody asked for a change of a job's state, here or elsewhere. */
  notice(id: string): void {
    this.#running.get(id)?.check();
  }

  #listen(): void {
    this.#listening = this.#listening.then(async () => {
      const want = !this.#stopping.signal.aborted && this.#running.size < this.#options.slots;
      if (want && this.#consumer === null) {
        this.#consumer = await this.#options.bus.work(on(buildRun, async ({ id }) => { await this.#offer(id); return { id }; }), { concurrency: 1 });
      } else if (!want && this.#consumer !== null) {
        const consumer = this.#consumer;
        this.#consumer = null;
        await consumer[Symbol.asyncDispose]();
      }
    }).catch((e: unknown) => this.#options.logger.error({ error: describeError(e) }, "cannot change over listening for build jobs"));
  }

  async #offer(id: string): Promise<void> {
    while (this.#running.size >= this.#options.slots) {
      // One more may have been on its way when listening stopped.
      await (this.#slotFree ??= Promise.withResolvers()).promise;
      if (this.#stopping.signal.aborted) throw fail("UNAVAILABLE", "the build worker is stopping");
    }
    if (this.#stopping.signal.aborted || this.#running.has(id)) return;
    const claim = await this.#options.store.claim(id, this.#options.name);
    this.#options.signals.notify(id);
    if (claim === null) return;
    const stop = new AbortController();
    const check = (): void => void this.#renew(claim, stop);
    const done = this.#build(claim, stop).finally(() => {
      this.#running.delete(id);
      this.#slotFree?.resolve();
      this.#slotFree = null;
      this.#listen();
    });
    this.#running.set(id, { stop, done, check });
    if (this.#running.size >= this.#options.slots) this.#listen();
  }

  async #renew(claim: Claim, stop: AbortController): Promise<void> {
    const { store, logger } = this.#options;
    try {
      const state = await store.renew(claim);
      if (state === "cancelled") stop.abort(fail("BUILD_FAILED", CANCELLED));
      if (state === "lost") stop.abort(fail("STALE_EPOCH", "another worker has the build"));
    } catch (e) {
      logger.warn({ build: claim.id, error: describeError(e) }, "cannot renew the lease of a build");
    }
  }

  async #build(claim: Claim, stop: AbortController): Promise<void> {
    const { clock, logger, store, signals, bus, builder, leaseMs } = this.#options;
    const over = new AbortController();
    const renewing = (async () => {
      for (;;) {
        await clock.sleep(leaseMs / 3, over.signal);
        await this.#renew(claim, stop);
      }
    })().catch(() => {});
    const log = new JobLog({ store, signals, bus, clock, logger, claim, onLost: (e) => stop.abort(e) });
    const { quiet } = claim.spec;
    const kept: BuildMessage[] = [];
    let told = false;
    const tell = (...messages: readonly BuildMessage[]): void => {
      if (messages.length === 0) return;
      if (!quiet) { told = true; log.write(...messages); }
      else if (kept.length < QUIET_LINES) kept.push(...messages);
    };
    logger.info({ build: claim.id, attempt: claim.attempt }, "build begins");
    try {
      const imageId = await tracer.startActiveSpan("build", { attributes: { "gantry.build.id": claim.id } }, (span) => runBuild(builder, {
        id: claim.id, spec: claim.spec, resumes: claim.begunAt, signal: stop.signal, tell, ready: () => log.ready(), onStep: (step, total) => log.step(step, total),
      }).finally(() => span.end()));
      if (quiet) log.write(quietLine(imageId));
      await log.flush();
      await store.finish(claim, { state: "succeeded", imageId, error: null });
      logger.info({ build: claim.id, image: imageId }, "build succeeded");
    } catch (e) {
      await this.#failed(claim, log, e, stop.signal.aborted ? stop.signal.reason : null, told || kept.length > 0 ? kept : null);
    } finally {
      over.abort();
      await renewing;
      signals.notify(claim.id);
    }
  }

  /** `kept`: lines that a quiet build has held back; null: nothing was told, and the error alone is the answer. */
  async #failed(claim: Claim, log: JobLog, error: unknown, reason: unknown, kept: readonly BuildMessage[] | null): Promise<void> {
    const { logger, store } = this.#options;
    if (isGantryError(error, "STALE_EPOCH") || isGantryError(reason, "STALE_EPOCH")) {
      logger.warn({ build: claim.id, error: describeError(reason ?? error) }, "build given up: another worker has it");
      return;
    }
    try {
      if (this.#stopping.signal.aborted && reason === this.#stopping.signal.reason) {
        await log.flush();
        await store.release(claim);
        return;
      }
      const cancelled = isGantryError(reason) && reason.message === CANCELLED;
      const message = cancelled ? CANCELLED : error instanceof GantryError ? error.message : `internal error: ${describeError(error)}`;
      if (!(error instanceof GantryError)) logger.error({ build: claim.id, err: error }, `build failed: ${describeError(error)}`);
      const code = error instanceof GantryError && typeof error.details["code"] === "number" ? error.details["code"] : null;
      if (kept !== null) log.write(...kept, errorMessage(message, cancelled ? null : code));
      await log.flush();
      await store.finish(claim, { state: cancelled ? "cancelled" : "failed", imageId: null, error: message });
      logger.info({ build: claim.id, error: message }, cancelled ? "build cancelled" : "build failed");
    } catch (e) {
      // The lease runs out, and the job goes back on the queue.
      logger.error({ build: claim.id, error: describeError(e) }, "cannot write the end of a build");
    }
  }

  async #sweep(): Promise<void> {
    const { builder, bus, clock, logger, store, leaseMs } = this.#options;
    for (;;) {
      try {
        await clock.sleep(leaseMs / 2, this.#stopping.signal);
      } catch {
        return;
      }
      try {
        const count = await store.requeue(PATIENCE_MS, null);
        if (count > 0) logger.info({ count }, "builds offered again");
        // Asking for a blob keeps it from being collected while its build waits.
        for (const digest of await store.waitingContexts()) await bus.call(blobStat, { digest });
        await store.prune(clock.now() - 7 * 24 * 3600 * 1000, 1000);
        await builder.cache.expire();
      } catch (e) {
        logger.warn({ error: describeError(e) }, "cannot look after waiting builds");
      }
    }
  }

  /** Stops listening, and gives running builds back to the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    const reason = fail("UNAVAILABLE", "the build worker is stopping");
    this.#stopping.abort(reason);
    this.#slotFree?.resolve();
    const running = [...this.#running.values()];
    for (const { stop } of running) stop.abort(reason);
    await Promise.allSettled(running.map(({ done }) => done));
    this.#listen();
    await this.#listening;
    await this.#sweeper;
  }
}

export const progressRoute = (worker: Worker, signals: JobSignals) =>
  on(buildProgress, async ({ id, seq, state }) => {
    signals.notify(id);
    if (state === "cancelled") worker.notice(id);
    return { id, seq, state };
  });

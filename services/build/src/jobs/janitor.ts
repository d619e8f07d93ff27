import type { Bus } from "@gantry/bus";
import { blobStat, workerPing } from "@gantry/contracts";
import { type Clock, describeError, isGantryError, type Logger } from "@gantry/kernel";
import type { StepCache } from "../build/step-cache.ts";
import { LeaseWatch } from "../domain/job.ts";
import type { Retention, Upkeep } from "./upkeep.ts";

export interface JanitorOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly upkeep: Upkeep;
  readonly cache: StepCache;
  /** Of this worker. */
  readonly name: string;
  readonly leaseMs: number;
  readonly renewMs: number;
  readonly retention: Retention;
  /** How long contexts of finished builds are kept for a retry. */
  readonly retryMs: number;
}

const TIDY_MS = 60_000;
/** A queued job that no worker took within this time is offered again: its message may be lost. */
const PATIENCE_MS = 15_000;
const PING_MS = 1_000;

/**
 * Looks after jobs of workers that are gone. A lease that is not held on for its whole time is over. Where the worker's connection to
 * the broker is gone too, two renewals missed are enough: it was killed.
 */
export class Janitor implements AsyncDisposable {
  readonly #options: JanitorOptions;
  readonly #stop = new AbortController();
  readonly #watch = new LeaseWatch();
  readonly #running: Promise<unknown>;

  constructor(options: JanitorOptions) {
    this.#options = options;
    const { renewMs } = options;
    this.#running = Promise.all([
      this.#every(renewMs, () => this.#leases(), () => this.#watch.blind()),
      this.#every(Math.min(PATIENCE_MS / 3, 5 * renewMs), () => this.#offers(), () => {}),
      this.#every(TIDY_MS, () => this.#tidy(), () => {}),
    ]);
  }

  async #every(ms: number, work: () => Promise<void>, onFailure: () => void): Promise<void> {
    const { clock, logger } = this.#options;
    for (;;) {
      try {
        await clock.sleep(ms, this.#stop.signal);
      } catch {
        return;
      }
      try {
        await work();
      } catch (e) {
        onFailure();
        logger.warn({ error: describeError(e) }, "cannot look after builds");
      }
    }
  }

  async #leases(): Promise<void> {
    const { upkeep, logger, leaseMs, renewMs } = this.#options;
    const leases = await upkeep.leases();
    const still = this.#watch.look(leases, performance.now());
    const gone = new Map<string, Promise<boolean>>();
    for (const lease of leases) {
      const ms = still.get(lease.id)!;
      const over = ms >= leaseMs || (ms >= 2.5 * renewMs && await gone.getOrInsertComputed(lease.worker, () => this.#isGone(lease.worker)));
      if (over && await upkeep.takeAway(lease)) logger.warn({ build: lease.id, worker: lease.worker, ms: Math.round(ms) }, "a build is taken from a worker that does not hold its lease on");
    }
  }

  /** Whether the worker has no connection to the broker, as far as this one's own shows. */
  async #isGone(worker: string): Promise<boolean> {
    const { name } = this.#options;
    return worker !== name && !await this.#answers(worker) && await this.#answers(name);
  }

  async #answers(worker: string): Promise<boolean> {
    try {
      await this.#options.bus.call(workerPing, {}, { node: worker, timeoutMs: PING_MS });
      return true;
    } catch (e) {
      // One that is slow is there.
      return !isGantryError(e, "UNAVAILABLE");
    }
  }

  async #offers(): Promise<void> {
    const count = await this.#options.upkeep.offerAgain(PATIENCE_MS);
    if (count > 0) this.#options.logger.info({ count }, "builds offered again");
  }

  async #tidy(): Promise<void> {
    const { bus, cache, clock, upkeep, retention, retryMs, logger } = this.#options;
    // Asking for a blob keeps it from being collected.
    for (const digest of await upkeep.contexts(clock.now() - retryMs)) await bus.call(blobStat, { digest });
    const forgotten = await upkeep.prune(retention);
    if (forgotten > 0) logger.info({ count: forgotten }, "finished builds are forgotten");
    await cache.expire();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

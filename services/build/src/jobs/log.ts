import { buildProgress } from "@gantry/contracts";
import type { Bus } from "@gantry/bus";
import { type Clock, describeError, isGantryError, type Logger } from "@gantry/kernel";
import type { BuildMessage } from "../domain/messages.ts";
import type { JobSignals } from "./signals.ts";
import type { Claim, JobStore } from "./store.ts";

/** Bytes of log text one build may write; what comes after is dropped, with a word about it. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;
const MAX_BATCH = 2_000;
/** Other processes are told at most this often that there is more. */
const PUBLISH_EVERY_MS = 50;
/** A writer that is this far ahead of the database waits for it. */
const HIGH_WATER = 10_000;

export interface JobLogOptions {
  readonly store: JobStore;
  readonly signals: JobSignals;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly claim: Claim;
  /** Called once when the database says that the job is no longer ours, or cannot be written. */
  readonly onLost: (error: unknown) => void;
}

/** The log of a running job: rows go to the database in batches, one batch while the next one gathers. */
export class JobLog {
  readonly #options: JobLogOptions;
  #queue: BuildMessage[] = [];
  #flushing: Promise<void> | null = null;
  #bytes = 0;
  #clipped = false;
  #failed = false;
  #publishedAt = -Infinity;
  #progress = { step: 0, steps: 0 };

  constructor(options: JobLogOptions) {
    this.#options = options;
  }

  step(step: number, steps: number): void {
    this.#progress = { step, steps };
  }

  write(...messages: readonly BuildMessage[]): void {
    for (const message of messages) {
      const text = message["stream"];
      const size = typeof text === "string" ? text.length : 200;
      if (this.#bytes + size > MAX_LOG_BYTES && typeof text === "string") {
        if (!this.#clipped) this.#queue.push({ stream: `\n[output clipped, log limit ${MAX_LOG_BYTES / 1024 / 1024}MiB reached]\n` });
        this.#clipped = true;
        continue;
      }
      this.#bytes += size;
      this.#queue.push(message);
    }
    this.#flushing ??= this.#run();
  }

  /** Waits where the database is far behind. */
  async ready(): Promise<void> {
    if (this.#queue.length > HIGH_WATER) await this.flush();
  }

  /** Resolves when all written so far is in the database (or the job is lost). */
  async flush(): Promise<void> {
    while (this.#flushing !== null) await this.#flushing;
  }

  async #run(): Promise<void> {
    const { store, signals, claim, onLost } = this.#options;
    // One turn later, so that lines written together go together.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0 && !this.#failed) {
        const batch = this.#queue.slice(0, MAX_BATCH);
        this.#queue = this.#queue.slice(MAX_BATCH);
        const next = await store.append(claim, batch, this.#progress);
        signals.notify(claim.id);
        this.#publish(next);
      }
    } catch (e) {
      this.#failed = true;
      onLost(e);
    } finally {
      if (this.#failed) this.#queue = [];
      this.#flushing = null;
    }
  }

  #publish(seq: number): void {
    const { bus, clock, claim, logger } = this.#options;
    if (clock.now() - this.#publishedAt < PUBLISH_EVERY_MS) return;
    this.#publishedAt = clock.now();
    bus.publish(buildProgress, { id: claim.id, seq, state: "running" }).catch((e: unknown) => {
      if (!isGantryError(e, "UNAVAILABLE")) logger.warn({ build: claim.id, error: describeError(e) }, "cannot tell of a build's progress");
    });
  }
}

import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, type Clock, type Logger } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";

/** After a layer was made; more are gathered meanwhile. */
const DELAY_MS = 2000;

/**
 * Makes layers outlive a crash of the host, off the way of those who wait for one: a while after a layer was made, one syncfs for
 * all, then each gets its mark `d`.
 */
export class Durability implements AsyncDisposable {
  readonly #dir: string;
  readonly #native: NativeFs;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #pending = new Set<string>();
  #running: Promise<void> | null = null;

  constructor(options: { dir: string; native: NativeFs; clock: Clock; logger: Logger }) {
    this.#dir = options.dir;
    this.#native = options.native;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  add(layer: string): void {
    this.#pending.add(layer);
    this.#running ??= this.#later().finally(() => { this.#running = null; });
  }

  async #later(): Promise<void> {
    while (this.#pending.size > 0 && !this.#stop.signal.aborted) {
      try {
        await this.#clock.sleep(DELAY_MS, this.#stop.signal);
      } catch {
        return;
      }
      await this.flush().catch((e: unknown) => {
        this.#logger.warn({ error: describeError(e) }, "cannot sync layers; will try again");
      });
    }
  }

  /** Syncs now. */
  async flush(): Promise<void> {
    const layers = this.#pending;
    if (layers.size === 0) return;
    this.#pending = new Set();
    try {
      const fd = openSync(this.#dir, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await this.#native.syncfs(fd);
      } finally {
        closeSync(fd);
      }
      for (const layer of layers) this.#mark(layer);
    } catch (e) {
      for (const layer of layers) this.#pending.add(layer);
      throw e;
    }
  }

  #mark(layer: string): void {
    try {
      closeSync(openSync(join(this.#dir, "l", layer, "d"), "w"));
    } catch (e) {
      // Collected meanwhile.
      if (errnoOf(e) !== "ENOENT") throw e;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("closing"));
    await this.#running;
    await this.flush().catch((e: unknown) => {
      this.#logger.warn({ error: describeError(e) }, "cannot sync layers; a crash of the host now loses them");
    });
  }
}

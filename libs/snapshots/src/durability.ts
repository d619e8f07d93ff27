import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, type Logger } from "@gantry/kernel";
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
  readonly #logger: Logger;
  #pending = new Set<string>();
  #closed = false;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: { dir: string; native: NativeFs; logger: Logger }) {
    this.#dir = options.dir;
    this.#native = options.native;
    this.#logger = options.logger;
  }

  add(layer: string): void {
    this.#pending.add(layer);
    this.#schedule();
  }

  /** Keeps no process alive: who ends in order disposes. */
  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#running = this.flush().catch((e: unknown) => {
        this.#logger.warn({ error: describeError(e) }, "cannot sync layers; will try again");
        if (!this.#closed) this.#schedule();
      });
    }, DELAY_MS).unref();
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
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    await this.flush().catch((e: unknown) => {
      this.#logger.warn({ error: describeError(e) }, "cannot sync layers; a crash of the host now loses them");
    });
  }
}

import { describeError, type Logger } from "@gantry/kernel";
import type { Blobs } from "./blobs.ts";

const SOON_MS = 1_000;

/** Runs the collection of blobs in the background: regularly, and soon after something was released. */
export class Collector implements AsyncDisposable {
  readonly #blobs: Blobs;
  readonly #logger: Logger;
  readonly #regular: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(blobs: Blobs, options: { logger: Logger; everyMs: number }) {
    this.#blobs = blobs;
    this.#logger = options.logger;
    this.#regular = setInterval(() => this.#run(), options.everyMs);
    this.#regular.unref();
  }

  soon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#run();
    }, SOON_MS).unref();
  }

  #run(): void {
    this.#running = this.#blobs.collect().catch((e: unknown) => this.#logger.error({ err: e }, `collecting blobs failed: ${describeError(e)}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#regular);
    clearTimeout(this.#soon);
    await this.#running;
  }
}

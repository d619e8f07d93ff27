import { describeError, type Clock, type Logger } from "@gantry/kernel";

const RETRY_MS = 1_000;

/**
 * Runs `turn` one at a time: soon after {@link Turns.ask}, once more when it was asked for during a turn, and again after a
 * while when it failed. What is asked for within `gatherMs` is one turn.
 */
export class Turns implements AsyncDisposable {
  readonly #turn: () => Promise<void>;
  readonly #gatherMs: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #closed = new AbortController();
  #asked = false;
  #running: Promise<void> | null = null;

  constructor(options: { turn: () => Promise<void>; gatherMs: number; clock: Clock; logger: Logger }) {
    this.#turn = options.turn;
    this.#gatherMs = options.gatherMs;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  ask(): void {
    this.#asked = true;
    this.#running ??= this.#run().finally(() => { this.#running = null; });
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    let pause = this.#gatherMs;
    while (this.#asked && !signal.aborted) {
      await this.#clock.sleep(pause, signal).catch(() => {});
      if (signal.aborted) return;
      this.#asked = false;
      try {
        await this.#turn();
        pause = this.#gatherMs;
      } catch (error) {
        this.#logger.debug({ error: describeError(error) }, "the live view could not be brought up to date; trying again");
        this.#asked = true;
        pause = RETRY_MS;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }
}

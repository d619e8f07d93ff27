import { backoffMs, describeError, type Clock, type Logger } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import type { ConfirmChannel } from "amqplib";
import type { Link } from "./link.ts";

export interface KeptChannelOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What it is for, in log lines. */
  readonly name: string;
  /** Declares what is needed and starts consuming; done again on every new channel. */
  readonly setUp: (channel: ConfirmChannel) => Promise<void>;
  /** Called at the very moment from which `current` gives the new channel. */
  readonly onReady?: (channel: ConfirmChannel) => void;
  /** Called when a channel that was in use is gone, with everything that was under way on it. */
  readonly onLost?: () => void;
}

const BACKOFF = { baseMs: 20, maxMs: 5_000 };

/**
 * A channel that is opened and set up again whenever it closes: because the connection was lost, or because the broker closed
 * it (a 406 for an acknowledgement that came too late, a 404 for a queue that was deleted).
 */
export class KeptChannel implements AsyncDisposable {
  readonly #options: KeptChannelOptions;
  #channel: ConfirmChannel | null = null;
  #ready = Promise.withResolvers<ConfirmChannel>();
  #closed = false;

  private constructor(options: KeptChannelOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => {});
  }

  /** Resolves when it is set up; an error of the first set-up is the caller's. */
  static async open(options: KeptChannelOptions): Promise<KeptChannel> {
    const kept = new KeptChannel(options);
    await kept.#open();
    return kept;
  }

  /** The channel of now, or null while there is none. */
  get current(): ConfirmChannel | null { return this.#channel; }

  /** The channel, as soon as there is one. */
  async get(): Promise<ConfirmChannel> {
    return this.#channel ?? await this.#ready.promise;
  }

  async #open(): Promise<void> {
    const { link, setUp } = this.#options;
    const model = await link.model();
    const channel = await model.createConfirmChannel();
    let open = true;
    let reason: unknown;
    channel.on("error", (error) => { reason = error; });
    channel.once("close", () => {
      open = false;
      if (this.#channel === channel) this.#lost(reason);
    });
    try {
      await setUp(channel);
    } catch (error) {
      if (open) await channel.close().catch(() => undefined);
      throw reason ?? error;
    }
    if (!open) throw reason ?? new Error("the channel was closed while it was set up");
    if (this.#closed) return void (await channel.close());
    this.#channel = channel;
    this.#options.onReady?.(channel);
    this.#ready.resolve(channel);
  }

  #lost(reason: unknown): void {
    const { logger, name, onLost } = this.#options;
    this.#channel = null;
    if (this.#closed) return;
    logger.warn({ channel: name, reason: describeError(reason ?? "the connection was lost") }, "lost a channel to the message broker");
    this.#ready = Promise.withResolvers();
    this.#ready.promise.catch(() => {});
    onLost?.();
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    const { link, logger, clock, name } = this.#options;
    for (let attempt = 1; !this.#closed && !link.closed; attempt++) {
      try {
        await this.#open();
        logger.info({ channel: name, attempt }, "set up a channel to the message broker again");
        return;
      } catch (error) {
        if (this.#closed || link.closed) return;
        logger[attempt % 10 === 0 ? "error" : "debug"]({ channel: name, attempt }, `setting up a channel failed: ${describeError(error)}`);
        await clock.sleep(backoffMs(attempt, Math.random, BACKOFF), link.closing).catch(() => undefined);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#ready.reject(fail("UNAVAILABLE", "the bus is closed"));
    const channel = this.#channel;
    this.#channel = null;
    // While the broker takes nothing it does not read this, either: the channel goes with its connection.
    if (this.#options.link.blocked !== null) return;
    await channel?.close().catch((error: unknown) => this.#options.logger.debug({}, `closing a channel: ${describeError(error)}`));
  }
}

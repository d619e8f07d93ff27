import { fail } from "@gantry/contracts";
import { failpoint, type GantryError } from "@gantry/kernel";
import type { ConfirmChannel, Options } from "amqplib";
import type { KeptChannel } from "./kept-channel.ts";

/** Unconfirmed messages at most; further publishers wait. */
const UNCONFIRMED = 1_000;
const SEQUENCE = "gantry-publish";

interface Unconfirmed { returned: boolean }

/**
 * Publishes with confirms: resolves when the broker has taken responsibility. What was on a channel that got lost is published
 * again, with the same message ID, until the deadline.
 */
export class Publisher {
  #channel: KeptChannel | null = null;
  readonly #unconfirmed = new Map<number, Unconfirmed>();
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  #sequence = 0;

  /** To be called on every new channel. */
  setUp(channel: ConfirmChannel): void {
    channel.on("return", (message) => {
      const entry = this.#unconfirmed.get(Number(message.properties.headers?.[SEQUENCE]));
      if (entry !== undefined) entry.returned = true;
    });
  }

  use(channel: KeptChannel): void {
    this.#channel = channel;
  }

  /** UNAVAILABLE: no queue takes it (with `mandatory`), or no broker until the deadline. QUEUE_FULL: the queue is full. */
  async publish(exchange: string, routingKey: string, content: Buffer, options: Options.Publish, deadline: number): Promise<void> {
    const outcome = await this.tryPublish(exchange, routingKey, content, options, deadline);
    if (outcome === "returned") throw unroutable(exchange, routingKey);
    if (outcome === "refused") throw fail("QUEUE_FULL", `the queue of ${routingKey} is full`);
  }

  /** As `publish`, for whom it is no error that the broker had no queue for it, or that the queue was full. */
  async tryPublish(exchange: string, routingKey: string, content: Buffer, options: Options.Publish, deadline: number): Promise<"confirmed" | "returned" | "refused"> {
    await this.#admit();
    try {
      for (;;) {
        const channel = await within(this.#channel!.get(), deadline);
        const outcome = await within(this.#once(channel, exchange, routingKey, content, options), deadline);
        if (outcome !== "lost") return outcome;
      }
    } finally {
      this.#inFlight--;
      this.#waiting.shift()?.();
    }
  }

  async #once(channel: ConfirmChannel, exchange: string, routingKey: string, content: Buffer, options: Options.Publish): Promise<"confirmed" | "returned" | "refused" | "lost"> {
    const sequence = ++this.#sequence;
    const entry: Unconfirmed = { returned: false };
    this.#unconfirmed.set(sequence, entry);
    const headers: Record<string, unknown> = { ...(options.headers as Record<string, unknown> | undefined), [SEQUENCE]: sequence };
    try {
      const error = await new Promise<Error | null>((resolve) => {
        channel.publish(exchange, routingKey, content, { ...options, headers }, resolve);
      });
      await failpoint("bus.published");
      if (error === null) return entry.returned ? "returned" : "confirmed";
      return error.message === "message nacked" ? "refused" : await next("lost");
    } catch (error) {
      // amqplib throws when the channel is no longer open.
      if (error instanceof Error && error.name === "IllegalOperationError") return await next("lost");
      throw error instanceof RangeError ? fail("TOO_LARGE", `the message's headers are too large: ${error.message}`, { cause: error }) : error;
    } finally {
      this.#unconfirmed.delete(sequence);
    }
  }

  async #admit(): Promise<void> {
    while (this.#inFlight >= UNCONFIRMED) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#inFlight++;
  }
}

export function unroutable(exchange: string, routingKey: string): GantryError {
  return fail("UNAVAILABLE", `nobody takes messages for ${routingKey}${exchange === "" ? "" : ` (${exchange})`}`);
}

/** The promise's value, or UNAVAILABLE at the deadline (of `performance.now()`). */
export async function within<T>(promise: Promise<T>, deadline: number): Promise<T> {
  if (deadline === Infinity) return await promise;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(fail("UNAVAILABLE", "the message broker did not answer in time")), Math.max(0, deadline - performance.now()));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Not before the channel's own `close` event was handled, so that the next `get` waits for the new channel. */
function next<T>(value: T): Promise<T> {
  return new Promise((resolve) => setImmediate(resolve, value));
}

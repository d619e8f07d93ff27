import { fail } from "@gantry/contracts";
import { failpoint, type GantryError } from "@gantry/kernel";
import type { ConfirmChannel, Options } from "amqplib";
import { LIMITS } from "../limits.ts";
import type { KeptChannel } from "./kept-channel.ts";
import type { Link } from "./link.ts";

const SEQUENCE = "gantry-publish";

interface Unconfirmed { returned: boolean }

/** Refused: a queue is full. Returned: there is no queue for it (with `mandatory`). */
export type PublishOutcome = "confirmed" | "returned" | "refused";

/**
 * Publishes with confirms: resolves when the broker has taken responsibility. What was on a channel that got lost is published
 * again, with the same message ID, until the deadline. Never more than a bounded number of messages is on its way: others wait, as they
 * do while the socket is full or the broker takes nothing.
 */
export class Publisher {
  readonly #link: Link;
  #channel: KeptChannel | null = null;
  readonly #unconfirmed = new Map<number, Unconfirmed>();
  readonly #waiting = new Set<() => void>();
  /** While the socket's buffer is full. */
  #draining: PromiseWithResolvers<void> | null = null;
  #inFlight = 0;
  #sequence = 0;

  constructor(link: Link) {
    this.#link = link;
  }

  /** To be called on every new channel. */
  setUp(channel: ConfirmChannel): void {
    this.#drained();
    channel.on("return", (message) => {
      const entry = this.#unconfirmed.get(Number(message.properties.headers?.[SEQUENCE]));
      if (entry !== undefined) entry.returned = true;
    });
    channel.on("drain", () => this.#drained());
    channel.once("close", () => this.#drained());
  }

  use(channel: KeptChannel): void {
    this.#channel = channel;
  }

  /** UNAVAILABLE when there is no broker until the deadline, or it takes no messages; or when too many wait already. */
  async publish(exchange: string, routingKey: string, content: Buffer, options: Options.Publish, deadline: number): Promise<PublishOutcome> {
    await this.#admit(deadline);
    try {
      for (;;) {
        const channel = await within(this.#channel!.get(), deadline, "the message broker is away");
        if (this.#link.blocked !== null) await within(this.#link.blocked, deadline, BLOCKED);
        else if (this.#draining !== null) await within(this.#draining.promise, deadline, "the message broker takes messages too slowly");
        else {
          const outcome = await within(this.#once(channel, exchange, routingKey, content, options), deadline, "the message broker did not confirm in time");
          if (outcome !== "lost") return outcome;
        }
      }
    } finally {
      this.#leave();
    }
  }

  async #once(channel: ConfirmChannel, exchange: string, routingKey: string, content: Buffer, options: Options.Publish): Promise<PublishOutcome | "lost"> {
    const sequence = ++this.#sequence;
    const entry: Unconfirmed = { returned: false };
    this.#unconfirmed.set(sequence, entry);
    const headers: Record<string, unknown> = { ...(options.headers as Record<string, unknown> | undefined), [SEQUENCE]: sequence };
    try {
      const error = await new Promise<Error | null>((resolve) => {
        if (!channel.publish(exchange, routingKey, content, { ...options, headers }, resolve)) this.#draining ??= Promise.withResolvers();
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

  async #admit(deadline: number): Promise<void> {
    if (this.#inFlight >= LIMITS.unconfirmed) {
      if (this.#waiting.size >= LIMITS.waitingPublishers) throw fail("UNAVAILABLE", `${LIMITS.waitingPublishers} messages already wait for the message broker: try again later`);
      const { promise, resolve } = Promise.withResolvers<void>();
      const turn = (): void => {
        this.#waiting.delete(turn);
        // Taken here, so that nobody who comes in between finds room.
        this.#inFlight++;
        resolve();
      };
      this.#waiting.add(turn);
      try {
        return await within(promise, deadline, this.#link.blocked === null ? "the message broker takes messages too slowly" : BLOCKED);
      } catch (error) {
        // Late, and its turn came all the same: it gives the place back.
        if (!this.#waiting.delete(turn)) this.#leave();
        throw error;
      }
    }
    this.#inFlight++;
  }

  #leave(): void {
    this.#inFlight--;
    const [turn] = this.#waiting;
    turn?.();
  }

  #drained(): void {
    const draining = this.#draining;
    this.#draining = null;
    draining?.resolve();
  }
}

export const BLOCKED = "the message broker takes no messages for now (it is low on memory or disk)";

/** The promise's value, or UNAVAILABLE at the deadline (of `performance.now()`), with that reason. */
async function within<T>(promise: Promise<T>, deadline: number, reason: string): Promise<T> {
  if (deadline === Infinity) return await promise;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(unavailable(reason)), Math.max(0, deadline - performance.now()));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function unavailable(reason: string): GantryError {
  return fail("UNAVAILABLE", `${reason}: try again later`);
}

/** Not before the channel's own `close` event was handled, so that the next `get` waits for the new channel. */
function next<T>(value: T): Promise<T> {
  return new Promise((resolve) => setImmediate(resolve, value));
}

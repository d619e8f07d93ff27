import { fail, type Contract } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import type { ConfirmChannel, ConsumeMessage, Options } from "amqplib";
import { LIMITS } from "../limits.ts";
import type { Message } from "../message.ts";
import { toContent, toProperties } from "./envelope.ts";
import type { KeptChannel } from "./kept-channel.ts";
import type { Link } from "./link.ts";
import { BLOCKED, unavailable } from "./publisher.ts";

const REPLY_TO = "amq.rabbitmq.reply-to";

interface Pending {
  readonly id: string;
  /** Whether it was written to the broker, however long ago. */
  sent: boolean;
  readonly publish: (channel: ConfirmChannel) => void;
  readonly unroutable: () => void;
  readonly resolve: (text: string) => void;
  readonly reject: (reason: unknown) => void;
}

/** Where a call goes. */
export interface CallTarget {
  readonly queue: string;
  /** The queue's owner, for words. */
  readonly owner: string;
  readonly contract: Contract;
  readonly full: () => GantryError;
}

/**
 * Sends requests and waits for their replies on the same channel (RabbitMQ's direct reply-to). What is under way when the channel
 * is lost is sent again on the next one, with the same message ID: whoever serves it knows the message or has never seen it.
 */
export class Caller {
  #channel: KeptChannel | null = null;
  readonly #link: Link;
  readonly #service: string;
  readonly #pending = new Map<string, Pending>();
  #sequence = 0;

  constructor(link: Link, service: string) {
    this.#link = link;
    this.#service = service;
  }

  /** To be called on every new channel. */
  async setUp(channel: ConfirmChannel): Promise<void> {
    channel.on("return", (message) => {
      this.#pending.get(String(message.properties.correlationId))?.unroutable();
    });
    await channel.consume(REPLY_TO, (message) => this.#answer(message), { noAck: true });
  }

  /** To be called when a new channel is ready: sends what waits for it. */
  resend(channel: ConfirmChannel): void {
    for (const pending of this.#pending.values()) pending.publish(channel);
  }

  use(channel: KeptChannel): void {
    this.#channel = channel;
  }

  /** The reply's text. TIMEOUT, UNAVAILABLE (nobody serves; the broker takes nothing; too many calls), QUEUE_FULL, or the signal's reason. */
  async call({ queue, owner, contract, full }: CallTarget, message: Message, options: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<string> {
    const { timeoutMs, signal } = options;
    if (this.#pending.size >= LIMITS.calls) throw unavailable(`${LIMITS.calls} calls already wait for replies`);
    const id = String(++this.#sequence);
    const properties: Options.Publish = {
      ...toProperties(message, this.#service), replyTo: REPLY_TO, correlationId: id, mandatory: true,
      persistent: contract.kind === "command",
      // A query nobody waits for any more need not be answered.
      ...(contract.kind === "query" && timeoutMs > 0 ? { expiration: Math.ceil(timeoutMs) } : {}),
    };
    const content = toContent(message);
    return await new Promise((resolve, reject) => {
      const abort = () => settle(() => reject(signal?.reason as Error));
      const timer = timeoutMs > 0 ? setTimeout(() => settle(() => reject(pending.sent ? timedOut(contract, queue, timeoutMs) : unavailable(this.#link.blocked === null ? "the message broker is away" : BLOCKED))), timeoutMs) : undefined;
      const settle = (end: () => void) => {
        if (!this.#pending.delete(id)) return;
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        end();
      };
      const pending: Pending = {
        id,
        sent: false,
        resolve: (text) => settle(() => resolve(text)),
        reject: (reason) => settle(() => reject(reason as Error)),
        unroutable: () => pending.reject(unserved(contract, owner)),
        publish: (channel) => {
          try {
            pending.sent = true;
            channel.publish("", queue, content, properties, (error: Error | null) => {
              if (error?.message === "message nacked") pending.reject(full());
            });
          } catch (error) {
            // The channel has just closed: the next one's set-up sends it again.
            if (!(error instanceof Error && error.name === "IllegalOperationError")) pending.reject(error);
          }
        },
      };
      this.#pending.set(id, pending);
      signal?.addEventListener("abort", abort, { once: true });
      this.#start(pending);
    });
  }

  /** Without a channel it is sent when there is one; while the broker takes nothing, when it does again. */
  #start(pending: Pending): void {
    if (this.#pending.get(pending.id) !== pending || pending.sent) return;
    if (this.#link.blocked !== null) return void this.#link.blocked.then(() => this.#start(pending));
    const channel = this.#channel?.current ?? null;
    if (channel !== null) pending.publish(channel);
  }

  /** Fails everything that still waits. */
  close(reason: GantryError): void {
    for (const pending of this.#pending.values()) pending.reject(reason);
  }

  #answer(message: ConsumeMessage | null): void {
    if (message === null) return;
    this.#pending.get(String(message.properties.correlationId))?.resolve(message.content.toString("utf8"));
  }
}

export function unserved(contract: Contract, owner: string): GantryError {
  const error = fail("UNAVAILABLE", `nobody serves ${contract.name} (queue ${owner}): try again later`);
  unservedOnes.add(error);
  return error;
}

/** Whether it was told by {@link unserved}: the message reached nobody. */
export function isUnserved(error: unknown): boolean {
  return error instanceof Error && unservedOnes.has(error);
}

const unservedOnes = new WeakSet<Error>();

function timedOut(contract: Contract, queue: string, timeoutMs: number): GantryError {
  return fail("TIMEOUT", `${queue} did not answer ${contract.name} within ${timeoutMs} ms`);
}

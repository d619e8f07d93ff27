import { fail, type Contract } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import type { ConfirmChannel, ConsumeMessage, Options } from "amqplib";
import type { Message } from "../message.ts";
import { toContent, toProperties } from "./envelope.ts";
import type { KeptChannel } from "./kept-channel.ts";
import { unroutable } from "./publisher.ts";

const REPLY_TO = "amq.rabbitmq.reply-to";

interface Pending {
  readonly queue: string;
  readonly publish: (channel: ConfirmChannel) => void;
  readonly resolve: (text: string) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Sends requests and waits for their replies on the same channel (RabbitMQ's direct reply-to). What is under way when the channel
 * is lost is sent again on the next one, with the same message ID: whoever serves it knows the message or has never seen it.
 */
export class Caller {
  #channel: KeptChannel | null = null;
  readonly #service: string;
  readonly #pending = new Map<string, Pending>();
  #sequence = 0;

  constructor(service: string) {
    this.#service = service;
  }

  /** To be called on every new channel. */
  async setUp(channel: ConfirmChannel): Promise<void> {
    channel.on("return", (message) => {
      const pending = this.#pending.get(String(message.properties.correlationId));
      pending?.reject(unroutable("", pending.queue));
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

  /** The reply's text. TIMEOUT, UNAVAILABLE (unroutable), QUEUE_FULL, or the signal's reason. */
  call(queue: string, contract: Contract, message: Message, options: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<string> {
    const { timeoutMs, signal } = options;
    const id = String(++this.#sequence);
    const properties: Options.Publish = {
      ...toProperties(message, this.#service), replyTo: REPLY_TO, correlationId: id, mandatory: true,
      persistent: contract.kind === "command",
      // A query nobody waits for any more need not be answered.
      ...(contract.kind === "query" && timeoutMs > 0 ? { expiration: Math.ceil(timeoutMs) } : {}),
    };
    const content = toContent(message);
    return new Promise((resolve, reject) => {
      const abort = () => settle(() => reject(signal?.reason as Error));
      const timer = timeoutMs > 0 ? setTimeout(() => settle(() => reject(timedOut(contract, queue, timeoutMs))), timeoutMs) : undefined;
      const settle = (end: () => void) => {
        if (!this.#pending.delete(id)) return;
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        end();
      };
      const pending: Pending = {
        queue,
        resolve: (text) => settle(() => resolve(text)),
        reject: (reason) => settle(() => reject(reason as Error)),
        publish: (channel) => {
          try {
            channel.publish("", queue, content, properties, (error: Error | null) => {
              if (error?.message === "message nacked") pending.reject(fail("QUEUE_FULL", `the queue ${queue} is full`));
            });
          } catch (error) {
            // The channel has just closed: the next one's set-up sends it again.
            if (!(error instanceof Error && error.name === "IllegalOperationError")) pending.reject(error);
          }
        },
      };
      this.#pending.set(id, pending);
      signal?.addEventListener("abort", abort, { once: true });
      const channel = this.#channel?.current ?? null;
      if (channel !== null) pending.publish(channel);
    });
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

function timedOut(contract: Contract, queue: string, timeoutMs: number): GantryError {
  return fail("TIMEOUT", `${queue} did not answer ${contract.name} within ${timeoutMs} ms`);
}

import { fail } from "@gantry/contracts";
import { describeError, failpoint, type Clock, type Logger } from "@gantry/kernel";
import type { ConfirmChannel, ConsumeMessage } from "amqplib";
import { replyOf, type Dispatcher, type Outcome } from "../dispatcher.ts";
import type { Message } from "../message.ts";
import { LIMITS } from "../options.ts";
import { countDeadLetter } from "../tracing.ts";
import { failedDeliveries, toMessage } from "./envelope.ts";
import { KeptChannel } from "./kept-channel.ts";
import type { Link } from "./link.ts";
import type { Topology } from "./topology.ts";

export interface Source {
  readonly queue: string;
  /** The queue as handlers, spans and dead letters name it. */
  readonly label: string;
  /** Where its dead letters go: the routing key of the exchange for them. */
  readonly deadKey: string;
}

export interface ConsumerOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topology: Topology;
  readonly dispatcher: Dispatcher;
  readonly name: string;
  readonly concurrency: number;
  readonly maxAttempts: number;
  /**
   * Handled in the order of the queue: a message that failed is tried again at once, before the next. Else it goes back to the
   * queue, for whoever is free.
   */
  readonly ordered: boolean;
  /** Declares the queues and gives those to consume from. */
  readonly declare: (channel: ConfirmChannel) => Promise<Source[]>;
  /** Done once all of them are being consumed. */
  readonly onConsuming?: (channel: ConfirmChannel) => Promise<void>;
  /** Done before it stops consuming. */
  readonly onClosing?: (channel: ConfirmChannel) => Promise<void>;
}

/** A delivery, with the channel it came on: only that one may acknowledge it. */
interface Delivered {
  readonly channel: ConfirmChannel;
  readonly raw: ConsumeMessage;
  readonly message: Message;
  readonly source: Source;
}

/** Messages fetched ahead where order matters, so that the next one is at hand. */
const AHEAD = 16;

/** Consumes one or more queues on a channel of its own, `concurrency` messages at a time in all. */
export class Consumer implements AsyncDisposable {
  readonly #options: ConsumerOptions;
  readonly #closing = new AbortController();
  readonly #inHand = new Set<Promise<void>>();
  readonly #joined = new Set<Promise<void>>();
  readonly #queued: Delivered[] = [];
  /** Failures seen by this process, by message: brokers differ in what they count. */
  readonly #failures = new Map<string, number>();
  #tags: string[] = [];
  #kept: KeptChannel | null = null;

  private constructor(options: ConsumerOptions) {
    this.#options = options;
  }

  static async open(options: ConsumerOptions): Promise<Consumer> {
    const consumer = new Consumer(options);
    consumer.#kept = await KeptChannel.open({
      link: options.link, clock: options.clock, logger: options.logger, name: options.name,
      setUp: (channel) => consumer.#setUp(channel),
      onLost: () => { consumer.#queued.length = 0; },
    });
    return consumer;
  }

  async #setUp(channel: ConfirmChannel): Promise<void> {
    const { concurrency, ordered } = this.#options;
    const sources = await this.#options.declare(channel);
    await channel.prefetch(ordered ? Math.max(concurrency, AHEAD) : concurrency);
    const consuming = sources.map(async (source) => {
      const { consumerTag } = await channel.consume(source.queue, (raw) => {
        if (raw !== null) return this.#take({ channel, raw, message: toMessage(raw), source });
        // The broker cancelled us (the queue was deleted): start afresh.
        if (this.#kept?.current === channel) channel.close().catch(() => undefined);
      });
      return consumerTag;
    });
    this.#tags = await Promise.all(consuming);
    await this.#options.onConsuming?.(channel);
  }

  #take(delivered: Delivered): void {
    // Delivered again on a new channel while the handler still works: no second handler, so none of the `concurrency` is used up.
    if (this.#options.dispatcher.isHandling(delivered.message)) return void this.#start(delivered, this.#joined);
    this.#queued.push(delivered);
    this.#pump();
  }

  #pump(): void {
    while (this.#inHand.size < this.#options.concurrency && !this.#closing.signal.aborted) {
      const delivered = this.#queued.shift();
      if (delivered === undefined) return;
      this.#start(delivered, this.#inHand);
    }
  }

  #start(delivered: Delivered, works: Set<Promise<void>>): void {
    const work: Promise<void> = this.#handle(delivered).catch((error: unknown) => {
      this.#options.logger.error({ err: error }, `settling a message failed: ${describeError(error)}`);
    }).finally(() => {
      works.delete(work);
      this.#pump();
    });
    works.add(work);
  }

  async #handle(delivered: Delivered): Promise<void> {
    const { maxAttempts, ordered, dispatcher } = this.#options;
    const { raw, message } = delivered;
    const awaited = typeof raw.properties.replyTo === "string" && raw.properties.replyTo !== "";
    const before = Math.max(failedDeliveries(raw), this.#failures.get(message.id) ?? 0);
    // Every consumer that took it died over it, or it would have been buried.
    if (before >= maxAttempts && !ordered && !dispatcher.isHandling(message)) {
      const error = fail("INTERNAL", `${message.name} was delivered ${before} times, and its consumers ended while they handled it`);
      return awaited ? this.#answer(delivered, { kind: "dead", error }) : await this.#bury(delivered, error.code, error.message, before);
    }
    for (let attempt = before + 1; ; attempt++) {
      const outcome = await dispatcher.handle({
        message, messageId: message.id, awaited, attempt, redelivered: raw.fields.redelivered || attempt > 1, signal: this.#closing.signal,
      });
      await failpoint("bus.before-ack");
      if (outcome.kind === "returned") return this.#settle(delivered, "nack");
      if (awaited) return this.#answer(delivered, outcome);
      if (outcome.kind === "done") return this.#settle(delivered, "ack");
      if (outcome.kind === "dead" || attempt >= maxAttempts) return await this.#bury(delivered, outcome.error.code, outcome.error.message, attempt);
      if (ordered && !this.#closing.signal.aborted) continue;
      this.#countFailure(message.id, attempt);
      return this.#settle(delivered, "reject");
    }
  }

  #answer(delivered: Delivered, outcome: Exclude<Outcome, { kind: "returned" }>): void {
    const { channel, raw, message } = delivered;
    try {
      channel.publish("", String(raw.properties.replyTo), Buffer.from(replyOf(outcome), "utf8"), {
        contentType: "application/json", correlationId: String(raw.properties.correlationId), messageId: message.id,
      });
    } catch (error) {
      this.#options.logger.debug({ messageId: message.id }, `the reply could not be sent: ${describeError(error)}`);
    }
    this.#settle(delivered, "ack");
  }

  /** Moves the message to the dead letters, with the reason; it leaves the queue when they have it. */
  async #bury(delivered: Delivered, code: string, reason: string, attempts: number): Promise<void> {
    const { channel, raw, message, source } = delivered;
    const { topology, logger } = this.#options;
    logger.error({ queue: source.label, message: message.name, messageId: message.id, code, attempts }, `dead-lettered ${message.name}: ${reason}`);
    const buried = await new Promise<boolean>((resolve) => {
      try {
        channel.publish(topology.dead, source.deadKey, raw.content, {
          ...raw.properties, persistent: true, expiration: undefined, replyTo: undefined, correlationId: undefined, userId: undefined,
          headers: { ...message.headers, "gantry-queue": source.label, "gantry-code": code, "gantry-reason": reason.slice(0, 2_000), "gantry-attempts": attempts },
        } as never, (error: unknown) => resolve(!error));
      } catch (error) {
        logger.debug({ messageId: message.id }, `the dead letter could not be sent: ${describeError(error)}`);
        resolve(false);
      }
    });
    if (buried) {
      this.#failures.delete(message.id);
      countDeadLetter(source.label, message.name, code);
    }
    this.#settle(delivered, buried ? "ack" : "nack");
  }

  /**
   * `reject` counts as a failed delivery on every version of RabbitMQ, `nack` from 4.3 on does not.
   * A channel that is gone has given its messages back already.
   */
  #settle({ channel, raw }: Delivered, how: "ack" | "reject" | "nack"): void {
    try {
      if (how === "ack") channel.ack(raw);
      else if (how === "reject") channel.reject(raw, true);
      else channel.nack(raw, false, true);
    } catch (error) {
      if (!(error instanceof Error && error.name === "IllegalOperationError")) throw error;
    }
  }

  #countFailure(id: string, failures: number): void {
    this.#failures.delete(id);
    this.#failures.set(id, failures);
    if (this.#failures.size <= 10_000) return;
    const oldest = this.#failures.keys().next();
    if (!oldest.done) this.#failures.delete(oldest.value);
  }

  /** Takes no more, waits for what is in hand, and gives the rest back. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { ordered, name, logger } = this.#options;
    this.#closing.abort(fail("UNAVAILABLE", `the consumer of ${name} is being closed`));
    const channel = this.#kept?.current ?? null;
    if (channel !== null) await this.#options.onClosing?.(channel).catch((error: unknown) => logger.debug({}, `closing the consumer of ${name}: ${describeError(error)}`));
    // In order means: the next consumer must not start before this one has ended.
    if (channel !== null && !ordered) await Promise.all(this.#tags.map((tag) => channel.cancel(tag).catch(() => undefined)));
    for (const delivered of ordered ? [] : this.#queued.splice(0)) this.#settle(delivered, "nack");
    const works = [...this.#inHand, ...this.#joined];
    if (works.length > 0) {
      const { promise: late, resolve } = Promise.withResolvers<"late">();
      const timer = setTimeout(resolve, LIMITS.closeGraceMs, "late");
      if (await Promise.race([Promise.all(works), late]) === "late") logger.warn({ queue: name, messages: this.#inHand.size }, "handlers did not end in time; their messages go back to the queue");
      clearTimeout(timer);
    }
    await this.#kept?.[Symbol.asyncDispose]();
  }
}

import { fail } from "@gantry/contracts";
import { backoffMs, describeError, failpoint, type Clock, type GantryError, type Logger } from "@gantry/kernel";
import type { ConfirmChannel, ConsumeMessage, Options } from "amqplib";
import { replyOf, type Dispatcher, type Outcome } from "../dispatcher.ts";
import type { Message } from "../message.ts";
import { Failures } from "../failures.ts";
import { LIMITS } from "../limits.ts";
import { burialHeaders } from "./dead-letter.ts";
import { countDeadLetter } from "../tracing.ts";
import { failedDeliveries, toMessage } from "./envelope.ts";
import { KeptChannel } from "./kept-channel.ts";
import type { Link } from "./link.ts";
import type { Publisher } from "./publisher.ts";
import type { Topology } from "./topology.ts";

export interface ConsumerOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topology: Topology;
  /**
   * For replies and dead letters, on another connection: a broker low on memory reads nothing from one that publishes, and
   * acknowledgements must get through, or it never has more memory.
   */
  readonly publisher: Publisher;
  readonly dispatcher: Dispatcher;
  /** Whose handlers these are, for dead letters. */
  readonly service: string;
  /** The queue as handlers, spans, dead letters and log lines name it. */
  readonly name: string;
  readonly concurrency: number;
  readonly maxAttempts: number;
  /**
   * Handled in the order of the queue: a message that failed is tried again at once, before the next. Else it goes back to the
   * queue, for whoever is free.
   */
  readonly ordered: boolean;
  /** Declares the queues and gives the names of those to consume from. */
  readonly declare: (channel: ConfirmChannel) => Promise<string[]>;
  /** Done once all of them are being consumed. */
  readonly onConsuming?: (channel: ConfirmChannel) => Promise<void>;
  /** Done before it stops consuming. */
  readonly onClosing?: (channel: ConfirmChannel) => Promise<void>;
  /** Done when nothing is in hand any more. */
  readonly onClosed?: (channel: ConfirmChannel) => Promise<void>;
}

/** What a caller is told of. */
type Answered = Exclude<Outcome, { kind: "returned" }>;

/** A delivery, with the channel it came on: only that one may acknowledge it. */
interface Delivered {
  readonly channel: ConfirmChannel;
  readonly raw: ConsumeMessage;
  readonly message: Message;
  readonly queue: string;
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
  readonly #failures = new Failures();
  readonly #gone = new WeakSet<ConfirmChannel>();
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
    channel.once("close", () => this.#gone.add(channel));
    const queues = await this.#options.declare(channel);
    await channel.prefetch(ordered ? Math.max(concurrency, AHEAD) : concurrency);
    const consuming = queues.map(async (queue) => {
      const { consumerTag } = await channel.consume(queue, (raw) => {
        if (raw !== null) return this.#take({ channel, raw, message: toMessage(raw), queue });
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
    const { maxAttempts, ordered, dispatcher, clock } = this.#options;
    const { raw, message } = delivered;
    const awaited = typeof raw.properties.replyTo === "string" && raw.properties.replyTo !== "";
    // Where order matters messages are fetched ahead: what the broker counts is then no attempt, but a connection that was lost.
    const before = Math.max(ordered ? 0 : failedDeliveries(raw), this.#failures.get(message.id)?.count ?? 0);
    // Every consumer that took it died over it, or it would have been buried.
    if (before >= maxAttempts && !ordered && !dispatcher.isHandling(message)) {
      const error = fail("INTERNAL", `${message.name} was delivered ${before} times, and its consumers ended while they handled it`);
      return awaited ? await this.#answer(delivered, { kind: "dead", error }) : await this.#bury(delivered, error, before);
    }
    for (let attempt = before + 1; ; attempt++) {
      const outcome = await dispatcher.handle({
        message, messageId: message.id, awaited, attempt, redelivered: raw.fields.redelivered || attempt > 1, signal: this.#closing.signal,
      });
      await failpoint("bus.before-ack");
      if (outcome.kind === "returned") return this.#settle(delivered, "nack");
      if (awaited) return await this.#answer(delivered, outcome);
      if (outcome.kind === "done") {
        this.#failures.forget(message.id);
        return this.#settle(delivered, "ack");
      }
      this.#failures.record(message.id, attempt, clock.now());
      if (outcome.kind === "dead" || attempt >= maxAttempts) return await this.#bury(delivered, outcome.error, attempt);
      if (ordered && !this.#closing.signal.aborted) continue;
      return this.#settle(delivered, "reject");
    }
  }

  /** The message leaves its queue when the broker has the reply: a reply that is lost on the way is sent again. */
  async #answer(delivered: Delivered, outcome: Answered): Promise<void> {
    const { raw, message } = delivered;
    try {
      await this.#options.publisher.publish("", String(raw.properties.replyTo), Buffer.from(replyOf(outcome), "utf8"), {
        contentType: "application/json", correlationId: String(raw.properties.correlationId), messageId: message.id,
      }, performance.now() + LIMITS.callTimeoutMs);
    } catch (error) {
      this.#options.logger.warn({ message: message.name, messageId: message.id }, `the reply could not be sent: ${describeError(error)}`);
    }
    this.#settle(delivered, "ack");
  }

  /** Moves the message to the dead letters, with the reason; it leaves the queue when they have it, and is kept in hand until then. */
  async #bury(delivered: Delivered, error: GantryError, attempts: number): Promise<void> {
    const { raw, message, queue } = delivered;
    const { topology, publisher, logger, clock, name, service } = this.#options;
    const about = { queue: name, message: message.name, messageId: message.id, code: error.code, attempts };
    logger.error(about, `dead-lettered ${message.name}: ${error.message}`);
    const now = clock.now();
    const headers = burialHeaders({
      label: name, queue, code: error.code, reason: error.message, attempts, service,
      firstFailedAt: this.#failures.get(message.id)?.firstAt ?? now, lastFailedAt: now, exchange: raw.fields.exchange, routingKey: raw.fields.routingKey,
    });
    const properties: Options.Publish = {
      contentType: "application/json", type: message.name, messageId: message.id, timestamp: Math.floor(now / 1000), persistent: true, mandatory: true,
      headers: { ...message.headers, ...headers },
    };
    for (let attempt = 1; !this.#gone.has(delivered.channel); attempt++) {
      const refused = await publisher.publish(topology.dead, topology.deadKey(name), raw.content, properties, performance.now() + LIMITS.callTimeoutMs)
        .then((outcome) => (outcome === "confirmed" ? null : `the broker ${outcome} it`), describeError);
      if (refused === null) {
        this.#failures.forget(message.id);
        countDeadLetter(name, message.name, error.code);
        await this.#reportFullness(delivered.channel);
        return this.#settle(delivered, "ack");
      }
      logger.error(about, `the dead letter was not taken, trying again: ${refused}`);
      if (this.#closing.signal.aborted) return this.#settle(delivered, "nack");
      await clock.sleep(backoffMs(attempt, Math.random, { baseMs: 200, maxMs: 10_000 }), this.#closing.signal).catch(() => undefined);
    }
  }

  /** The broker drops the oldest without a word. */
  async #reportFullness(channel: ConfirmChannel): Promise<void> {
    const { topology, name, logger } = this.#options;
    const queue = `${topology.deadKey(name)}.dead`;
    const { messageCount } = await channel.checkQueue(queue).catch(() => ({ messageCount: 0 }));
    if (messageCount >= topology.limits.dead.messages) logger.error({ queue, messages: messageCount }, "the dead letters are full: the oldest is lost with each new one");
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

  /** Takes no more, waits for what is in hand, and gives the rest back. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { ordered, name, logger } = this.#options;
    this.#closing.abort(fail("UNAVAILABLE", `the consumer of ${name} is being closed`));
    const channel = this.#kept?.current ?? null;
    const done = (work: Promise<void> | undefined) => work?.catch((error: unknown) => logger.debug({}, `closing the consumer of ${name}: ${describeError(error)}`));
    if (channel !== null) await done(this.#options.onClosing?.(channel));
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
    const last = this.#kept?.current ?? null;
    if (last !== null) await done(this.#options.onClosed?.(last));
    await this.#kept?.[Symbol.asyncDispose]();
  }
}

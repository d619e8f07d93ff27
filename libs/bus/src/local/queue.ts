import { fail } from "@gantry/contracts";
import type { Clock, Logger } from "@gantry/kernel";
import { replyOf, type Dispatcher, type Outcome } from "../dispatcher.ts";
import { deadLetterId, type DeadLetter } from "../dead-letters.ts";
import type { Message } from "../message.ts";
import { queueFull } from "../consumers.ts";
import { Failures } from "../failures.ts";
import { LIMITS, type QueueKind, type QueueLimit } from "../limits.ts";

/** A message in a queue. `answer` is there when a caller waits; `kept` when it stays although nobody serves. */
export interface Entry {
  readonly message: Message;
  readonly answer: ((text: string) => void) | null;
  /** Called when a message that is not kept finds its last consumer gone. */
  readonly lost: (() => void) | null;
  deliveries: number;
}

/** One consumer of a queue: at most `concurrency` messages at a time. */
export interface LocalConsumer {
  readonly dispatcher: Dispatcher;
  /** Whose handlers these are. */
  readonly service: string;
  readonly concurrency: number;
  readonly maxAttempts: number;
  readonly closing: AbortController;
  readonly inHand: Set<Entry>;
  /** Resolves `close` when the last message in hand is settled. */
  idle: (() => void) | null;
}

export interface LocalQueueOptions {
  /** As handlers know it: `scheduler`, `job.<contract>`, `group.<group>`, `subscriber`. */
  readonly name: string;
  readonly kind: Exclude<QueueKind, "dead">;
  readonly limit: QueueLimit;
  readonly singleActive: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  /** `source`: for bringing it back. */
  readonly bury: (letter: DeadLetter, source: LocalQueue) => void;
}

/** First in, first out; what comes back goes to the front. */
export class LocalQueue {
  readonly #options: LocalQueueOptions;
  readonly #failures = new Failures();
  #ready: Entry[] = [];
  #head = 0;
  /** Characters of all bodies in `#ready`. */
  #size = 0;
  #lost = 0;
  #consumers: LocalConsumer[] = [];
  #next = 0;
  #pumping = false;

  constructor(options: LocalQueueOptions) {
    this.#options = options;
  }

  get name(): string { return this.#options.name; }
  get singleActive(): boolean { return this.#options.singleActive; }
  get served(): boolean { return this.#consumers.some((consumer) => !consumer.closing.signal.aborted); }
  get length(): number { return this.#ready.length - this.#head; }

  /** QUEUE_FULL when there is no room; a subscriber's own queue loses its oldest message instead. */
  push(entry: Entry): void {
    const { kind, name, limit } = this.#options;
    const isFull = () => this.length >= limit.messages || this.#size + entry.message.body.length > limit.bytes;
    if (isFull() && kind !== "subscriber") throw queueFull(describeQueue(name, kind), limit);
    while (this.length > 0 && isFull()) this.#loseOldest();
    this.#size += entry.message.body.length;
    this.#ready.push(entry);
    this.#wake();
  }

  #loseOldest(): void {
    const { message } = this.#take();
    // A line for the first, and for every thousandth.
    if (this.#lost++ % 1_000 === 0) this.#options.logger.warn({ message: message.name, lost: this.#lost }, "a subscriber is too slow and loses its oldest events");
  }

  #take(): Entry {
    const entry = this.#ready[this.#head]!;
    this.#head++;
    this.#size -= entry.message.body.length;
    if (this.#head === this.#ready.length || this.#head > 1024) {
      this.#ready = this.#ready.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  add(consumer: LocalConsumer): void {
    this.#consumers.push(consumer);
    this.#wake();
  }

  /** Takes the consumer off, waits for what it has in hand, and returns what it did not settle in time. */
  async remove(consumer: LocalConsumer): Promise<void> {
    if (consumer.closing.signal.aborted) return;
    consumer.closing.abort(fail("UNAVAILABLE", `the consumer of ${this.name} is being closed`));
    if (consumer.inHand.size > 0) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(resolve, LIMITS.closeGraceMs, false);
      consumer.idle = () => resolve(true);
      const settled = await promise;
      clearTimeout(timer);
      if (!settled) {
        this.#options.logger.warn({ queue: this.name, messages: consumer.inHand.size }, "handlers did not end in time; their messages go back to the queue");
        for (const entry of [...consumer.inHand].reverse()) this.#return(entry);
        consumer.inHand.clear();
      }
    }
    // Not before: a single active consumer's successor must not start while it still handles something.
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
    if (this.#consumers.length > 0) this.#wake();
    else this.#dropUnkept();
  }

  #wake(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.length > 0) {
      const consumer = this.#free();
      if (consumer === undefined) return;
      void this.#deliver(consumer, this.#take());
    }
  }

  /** The next consumer in turn with room; with a single active consumer, the first one or none. */
  #free(): LocalConsumer | undefined {
    const count = this.singleActive ? Math.min(1, this.#consumers.length) : this.#consumers.length;
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count;
      const consumer = this.#consumers[at]!;
      if (consumer.inHand.size < consumer.concurrency && !consumer.closing.signal.aborted) {
        this.#next = at + 1;
        return consumer;
      }
    }
    return undefined;
  }

  async #deliver(consumer: LocalConsumer, entry: Entry): Promise<void> {
    entry.deliveries++;
    consumer.inHand.add(entry);
    const outcome = await consumer.dispatcher.handle({
      message: entry.message, messageId: entry.message.id, awaited: entry.answer !== null,
      redelivered: entry.deliveries > 1, attempt: entry.deliveries, signal: consumer.closing.signal,
    });
    if (!consumer.inHand.delete(entry)) return;
    this.#settle(consumer, entry, outcome);
    if (consumer.inHand.size === 0) consumer.idle?.();
    this.#wake();
  }

  #settle(consumer: LocalConsumer, entry: Entry, outcome: Outcome): void {
    if (outcome.kind === "returned") return this.#return(entry);
    if (entry.answer !== null) return entry.answer(replyOf(outcome));
    const { message } = entry;
    if (outcome.kind === "done") return this.#failures.forget(message.id);
    const now = this.#options.clock.now();
    const { firstAt } = this.#failures.record(message.id, entry.deliveries, now);
    if (outcome.kind === "failed" && entry.deliveries < consumer.maxAttempts) return this.#return(entry);
    this.#failures.forget(message.id);
    this.#options.bury({
      id: deadLetterId(this.name, message), queue: this.name, message, code: outcome.error.code, reason: outcome.error.message, attempts: entry.deliveries,
      firstFailedAt: new Date(firstAt).toISOString(), lastFailedAt: new Date(now).toISOString(), service: consumer.service,
      exchange: this.#options.kind === "group" || this.#options.kind === "subscriber" ? "events" : "",
      routingKey: this.#options.kind === "commands" || this.#options.kind === "job" ? this.name : message.name,
    }, this);
  }

  #return(entry: Entry): void {
    this.#size += entry.message.body.length;
    if (this.#head > 0) this.#ready[--this.#head] = entry;
    else this.#ready.unshift(entry);
    this.#wake();
  }

  #dropUnkept(): void {
    const waiting = this.#ready.slice(this.#head);
    this.#ready = waiting.filter((entry) => entry.lost === null);
    this.#head = 0;
    this.#size = this.#ready.reduce((size, { message }) => size + message.body.length, 0);
    for (const entry of waiting) entry.lost?.();
  }
}

/** In the words of {@link queueFull}. */
function describeQueue(name: string, kind: QueueKind): string {
  if (kind === "job") return `${name.slice("job.".length)} jobs`;
  return kind === "group" ? `the group ${name.slice("group.".length)}` : `${name} ${kind}`;
}

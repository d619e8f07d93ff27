import { fail } from "@gantry/contracts";
import type { Logger } from "@gantry/kernel";
import { replyOf, type Dispatcher, type Outcome } from "../dispatcher.ts";
import type { DeadLetter, Message } from "../message.ts";
import { LIMITS } from "../options.ts";

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
  readonly concurrency: number;
  readonly maxAttempts: number;
  readonly closing: AbortController;
  readonly inHand: Set<Entry>;
  /** Resolves `close` when the last message in hand is settled. */
  idle: (() => void) | null;
}

/** First in, first out; what comes back goes to the front. */
export class LocalQueue {
  readonly name: string;
  readonly #singleActive: boolean;
  readonly #limit: number;
  readonly #logger: Logger;
  readonly #bury: (letter: DeadLetter) => void;
  #ready: Entry[] = [];
  #head = 0;
  #consumers: LocalConsumer[] = [];
  #next = 0;
  #pumping = false;

  constructor(name: string, options: { singleActive: boolean; limit: number; logger: Logger; bury: (letter: DeadLetter) => void }) {
    this.name = name;
    this.#singleActive = options.singleActive;
    this.#limit = options.limit;
    this.#logger = options.logger;
    this.#bury = options.bury;
  }

  get singleActive(): boolean { return this.#singleActive; }
  get served(): boolean { return this.#consumers.some((consumer) => !consumer.closing.signal.aborted); }
  get length(): number { return this.#ready.length - this.#head; }

  push(entry: Entry): void {
    if (this.length >= this.#limit) throw fail("QUEUE_FULL", `queue ${this.name} is full (${this.#limit} messages)`);
    this.#ready.push(entry);
    this.#wake();
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
        this.#logger.warn({ queue: this.name, messages: consumer.inHand.size }, "handlers did not end in time; their messages go back to the queue");
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
      const entry = this.#ready[this.#head]!;
      this.#head++;
      if (this.#head === this.#ready.length || this.#head > 1024) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      void this.#deliver(consumer, entry);
    }
  }

  /** The next consumer in turn with room; with a single active consumer, the first one or none. */
  #free(): LocalConsumer | undefined {
    const count = this.#singleActive ? Math.min(1, this.#consumers.length) : this.#consumers.length;
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
    if (outcome.kind === "done") return;
    if (outcome.kind === "failed" && entry.deliveries < consumer.maxAttempts) return this.#return(entry);
    this.#bury({ queue: this.name, message: entry.message, code: outcome.error.code, reason: outcome.error.message, attempts: entry.deliveries });
  }

  #return(entry: Entry): void {
    if (this.#head > 0) this.#ready[--this.#head] = entry;
    else this.#ready.unshift(entry);
    this.#wake();
  }

  #dropUnkept(): void {
    const waiting = this.#ready.slice(this.#head);
    this.#ready = waiting.filter((entry) => entry.lost === null);
    this.#head = 0;
    for (const entry of waiting) entry.lost?.();
  }
}

import { backoffMs, describeError, type Clock, type Logger } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import type { Channel, ConsumeMessage } from "amqplib";
import { isOf, noSuchLetter, retryEach, sourceGone, type DeadLetter, type DeadLetters, type Retried } from "../dead-letters.ts";
import { LIMITS } from "../limits.ts";
import { toDeadLetter, type BuriedLetter } from "./dead-letter.ts";
import { declare } from "./declare.ts";
import type { Link } from "./link.ts";
import type { Publisher } from "./publisher.ts";
import type { Topology } from "./topology.ts";

export interface RabbitDeadLettersOptions {
  readonly link: Link;
  readonly publisher: Publisher;
  readonly topology: Topology;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long one operation waits for another's to end, and for the broker to hand out what is there. */
const LOCK_ATTEMPTS = 20;
const FETCH_MS = 15_000;
const GIVE_BACK_MS = 3_000;

interface Fetched extends BuriedLetter { readonly raw: ConsumeMessage }
type Deed<T> = (letters: readonly Fetched[], settle: (letter: Fetched) => void) => Promise<T>;

/**
 * Dead letters in RabbitMQ's queues. Each operation fetches a queue's letters, settles what it is about, and gives the rest back by
 * nacking it. One operation at a time over all processes: while one has fetched them, another would find none.
 */
export class RabbitDeadLetters implements DeadLetters {
  readonly #options: RabbitDeadLettersOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: RabbitDeadLettersOptions) {
    this.#options = options;
  }

  async list(queue?: string, limit = Infinity): Promise<DeadLetter[]> {
    return await this.#alone(async () => {
      const found: DeadLetter[] = [];
      for (const label of this.#labels(queue)) {
        const left = limit - found.length;
        if (left > 0) await this.#with(label, async (letters) => { found.push(...letters.map(({ letter }) => letter).filter((letter) => isOf(letter, queue)).slice(0, left)); });
      }
      return found;
    });
  }

  async get(id: string, queue?: string): Promise<DeadLetter> {
    return await this.#settle(id, queue, async () => "keep");
  }

  async retry(id: string, queue?: string): Promise<DeadLetter> {
    return await this.#settle(id, queue, async (letter) => {
      await this.#retry(letter);
      return "settle";
    });
  }

  async retryAll(queue?: string): Promise<Retried> {
    return await this.#alone(async () => {
      const results: Retried[] = [];
      for (const label of this.#labels(queue)) {
        results.push(await this.#with(label, async (letters, settle) => retryEach(letters.filter(({ letter }) => isOf(letter, queue)), async (letter) => {
          await this.#retry(letter);
          settle(letter);
        })));
      }
      const sum = (of: (result: Retried) => number) => results.reduce((total, result) => total + of(result), 0);
      return { retried: sum((it) => it.retried), kept: sum((it) => it.kept), reason: results.find(({ reason }) => reason !== null)?.reason ?? null };
    });
  }

  async #retry({ letter, source, raw }: Fetched): Promise<void> {
    const { message } = letter;
    const outcome = await this.#options.publisher.publish("", source, raw.content, {
      contentType: "application/json", contentEncoding: "utf-8", type: message.name, messageId: message.id, headers: message.headers, persistent: true, mandatory: true,
    }, performance.now() + LIMITS.callTimeoutMs);
    if (outcome === "returned") throw sourceGone(letter);
    if (outcome === "refused") throw fail("QUEUE_FULL", `the queue of dead letter ${letter.id} (${letter.queue}) is full: try again later`);
  }

  async drop(id: string, queue?: string): Promise<DeadLetter> {
    return await this.#settle(id, queue, async () => "settle");
  }

  /** Does the work for the letter, and as it says takes it off, with others of the same message. */
  async #settle(id: string, queue: string | undefined, work: (letter: Fetched) => Promise<"settle" | "keep">): Promise<DeadLetter> {
    return await this.#alone(async () => {
      for (const label of this.#labels(queue)) {
        const found = await this.#with(label, async (letters, settle) => {
          const same = letters.filter(({ letter }) => letter.id === id && isOf(letter, queue));
          const [first] = same;
          if (first === undefined) return null;
          if (await work(first) === "settle") for (const letter of same) settle(letter);
          return first.letter;
        });
        if (found !== null) return found;
      }
      throw noSuchLetter(id);
    });
  }

  #labels(queue: string | undefined): string[] {
    return queue === undefined ? this.#options.topology.deadLabels() : [queue];
  }

  /**
   * Fetches what the queue of that label's family holds now; what the deed does not acknowledge is given back in its order. All of it:
   * what is given back goes to the end of the queue.
   */
  async #with<T>(label: string, deed: Deed<T>): Promise<T> {
    const { topology, link } = this.#options;
    const model = await link.model();
    const channel = await model.createChannel();
    // An error closes the channel, and what waits for it fails with the error.
    channel.on("error", () => {});
    const queue = `${topology.deadKey(label)}.dead`;
    try {
      // Not declared: a queue that nobody has must not come to be because somebody asks for it.
      const total = await countOf(channel, queue);
      const letters = await this.#fetch(channel, queue, total);
      const left = new Set(letters);
      try {
        return await deed(letters, (letter) => {
          left.delete(letter);
          channel.ack(letter.raw);
        });
      } finally {
        await this.#giveBack(channel, queue, left, total - (letters.length - left.size));
      }
    } finally {
      await channel.close().catch((error: unknown) => this.#options.logger.debug({}, `closing the channel of dead letters: ${describeError(error)}`));
    }
  }

  /**
   * Resolves when they are in their queue again, so that the next operation finds them. One by one: many at once come back in any
   * order, and the first of a full queue is the one that is lost next.
   */
  async #giveBack(channel: Channel, queue: string, letters: ReadonlySet<Fetched>, total: number): Promise<void> {
    for (const { raw } of letters) channel.nack(raw, false, true);
    const deadline = performance.now() + GIVE_BACK_MS;
    while (letters.size > 0 && (await channel.checkQueue(queue)).messageCount < total && performance.now() < deadline) await this.#options.clock.sleep(5);
  }

  async #fetch(channel: Channel, queue: string, wanted: number): Promise<Fetched[]> {
    const letters: Fetched[] = [];
    if (wanted === 0) return letters;
    const { promise: all, resolve, reject } = Promise.withResolvers<void>();
    all.catch(() => {});
    channel.once("close", () => reject(fail("UNAVAILABLE", "the connection to the message broker was lost: try again")));
    const timer = setTimeout(resolve, FETCH_MS);
    try {
      const { consumerTag } = await channel.consume(queue, (raw) => {
        if (raw === null || letters.length >= wanted) return;
        letters.push({ ...toDeadLetter(raw, (source) => this.#labelOf(source)), raw });
        if (letters.length === wanted) resolve();
      });
      await all;
      await channel.cancel(consumerTag);
    } finally {
      clearTimeout(timer);
    }
    // What was given back before may be in another order.
    return letters.toSorted((a, b) => (a.letter.lastFailedAt ?? "").localeCompare(b.letter.lastFailedAt ?? ""));
  }

  /** What handlers call a queue at the broker. */
  #labelOf(source: string): string {
    const name = source.slice(this.#options.topology.namespace.length + 1);
    return name.startsWith("subscriber.") ? "subscriber" : name.replace(/\.commands$/, "");
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => this.#locked(work));
    this.#last = mine.catch(() => {});
    return await mine;
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = this.#options.topology.lock("dead.lock");
    for (let attempt = 1; ; attempt++) {
      const channel = await (await this.#options.link.model()).createChannel();
      channel.on("error", () => {});
      try {
        await declare(channel, lock);
      } catch (error) {
        if (!describeError(error).includes("RESOURCE_LOCKED")) throw error;
        if (attempt === LOCK_ATTEMPTS) throw fail("UNAVAILABLE", "someone else works on the dead letters: try again later", { cause: error });
        await this.#options.clock.sleep(backoffMs(attempt, Math.random, { baseMs: 20, maxMs: 1_000 }));
        continue;
      }
      try {
        return await work();
      } finally {
        for (const { name } of lock.queues) await channel.deleteQueue(name).catch((error: unknown) => this.#options.logger.debug({}, `giving back a lock: ${describeError(error)}`));
        await channel.close().catch(() => undefined);
      }
    }
  }
}

/** Messages in a queue; 0 where there is no such queue. */
async function countOf(channel: Channel, queue: string): Promise<number> {
  try {
    return (await channel.checkQueue(queue)).messageCount;
  } catch (error) {
    if (describeError(error).includes("NOT_FOUND")) return 0;
    throw error;
  }
}

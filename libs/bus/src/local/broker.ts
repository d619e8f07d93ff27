import { fail } from "@gantry/contracts";
import { silentLogger, type Logger } from "@gantry/kernel";
import type { DeadLetter, Message } from "../message.ts";
import { LIMITS } from "../options.ts";
import { countDeadLetter } from "../tracing.ts";
import { LocalQueue } from "./queue.ts";

/** What RabbitMQ is to the other implementation: queues, subscriptions and dead letters, in the memory of one process. */
export class LocalBroker {
  readonly #queues = new Map<string, LocalQueue>();
  readonly #subscriptions = new Map<string, Set<LocalQueue>>();
  readonly #deadLetters = new Map<string, DeadLetter[]>();
  readonly #logger: Logger;

  constructor(logger: Logger = silentLogger) {
    this.#logger = logger;
  }

  find(name: string): LocalQueue | undefined {
    return this.#queues.get(name);
  }

  /** The queue of that name, made at first; CONFLICT if it exists with another `singleActive`. */
  declare(name: string, singleActive: boolean, limit: number = LIMITS.queueLength): LocalQueue {
    let queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, queue = this.#make(name, singleActive, limit));
    else if (queue.singleActive !== singleActive) throw fail("CONFLICT", `queue ${name} is ${singleActive ? "not " : ""}for a single active consumer`);
    return queue;
  }

  /** A queue known to nobody else, for a subscriber of its own. */
  anonymous(): LocalQueue {
    return this.#make("subscriber", true, LIMITS.subscriberLength);
  }

  bind(event: string, queue: LocalQueue): void {
    const queues = this.#subscriptions.get(event) ?? new Set();
    this.#subscriptions.set(event, queues.add(queue));
  }

  unbind(queue: LocalQueue): void {
    for (const queues of this.#subscriptions.values()) queues.delete(queue);
  }

  /** A copy to each queue bound to the event. A full subscriber's queue loses the event; a full group's refuses it. */
  publish(message: Message): void {
    const queues = this.#subscriptions.get(message.name);
    if (queues === undefined) return;
    for (const queue of queues) {
      if (queue.name === "subscriber" && queue.length >= LIMITS.subscriberLength) {
        this.#logger.warn({ message: message.name }, "a subscriber is too slow and loses events");
        continue;
      }
      queue.push({ message, answer: null, lost: null, deliveries: 0 });
    }
  }

  deadLetters(queue: string): readonly DeadLetter[] {
    return this.#deadLetters.get(queue) ?? [];
  }

  #make(name: string, singleActive: boolean, limit: number): LocalQueue {
    return new LocalQueue(name, { singleActive, limit, logger: this.#logger, bury: (letter) => this.#bury(letter) });
  }

  #bury(letter: DeadLetter): void {
    countDeadLetter(letter.queue, letter.message.name, letter.code);
    this.#logger.error(
      { queue: letter.queue, message: letter.message.name, messageId: letter.message.id, code: letter.code, attempts: letter.attempts },
      `dead-lettered ${letter.message.name}: ${letter.reason}`);
    const letters = this.#deadLetters.get(letter.queue) ?? [];
    this.#deadLetters.set(letter.queue, letters);
    letters.push(letter);
    if (letters.length > LIMITS.deadLetters) letters.shift();
  }
}

const shared = new Map<string, LocalBroker>();

/** The broker of that name in this process: what `local:name` opens. */
export function sharedBroker(name: string, logger: Logger): LocalBroker {
  let broker = shared.get(name);
  if (broker === undefined) shared.set(name, broker = new LocalBroker(logger));
  return broker;
}

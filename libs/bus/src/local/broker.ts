import { fail } from "@gantry/contracts";
import { silentLogger, systemClock, type Clock, type Logger } from "@gantry/kernel";
import { QUEUE_LIMITS, type QueueKind, type QueueLimits } from "../limits.ts";
import type { Message } from "../message.ts";
import { LocalDeadLetters } from "./dead-letters.ts";
import { LocalQueue } from "./queue.ts";

/** What RabbitMQ is to the other implementation: queues, subscriptions and dead letters, in the memory of one process. */
export class LocalBroker {
  readonly deadLetters: LocalDeadLetters;
  readonly #queues = new Map<string, LocalQueue>();
  readonly #subscriptions = new Map<string, Set<LocalQueue>>();
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #limits: QueueLimits;

  constructor(logger: Logger = silentLogger, clock: Clock = systemClock, limits: QueueLimits = QUEUE_LIMITS) {
    this.#logger = logger;
    this.#clock = clock;
    this.#limits = limits;
    this.deadLetters = new LocalDeadLetters(logger, limits.dead);
  }

  find(name: string): LocalQueue | undefined {
    return this.#queues.get(name);
  }

  /** The queue of that name, made at first; CONFLICT if it exists with another `singleActive`. */
  declare(name: string, kind: Exclude<QueueKind, "dead">, singleActive: boolean): LocalQueue {
    let queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, queue = this.#make(name, kind, singleActive));
    else if (queue.singleActive !== singleActive) throw fail("CONFLICT", `queue ${name} is ${singleActive ? "not " : ""}for a single active consumer`);
    return queue;
  }

  /** A queue known to nobody else, for a subscriber of its own. */
  anonymous(): LocalQueue {
    return this.#make("subscriber", "subscriber", true);
  }

  bind(event: string, queue: LocalQueue): void {
    const queues = this.#subscriptions.get(event) ?? new Set();
    this.#subscriptions.set(event, queues.add(queue));
  }

  unbind(queue: LocalQueue): void {
    for (const queues of this.#subscriptions.values()) queues.delete(queue);
  }

  /** A copy to each queue bound to the event. Throws QUEUE_FULL when one of them had no room; all others have it. */
  publish(message: Message): void {
    const queues = this.#subscriptions.get(message.name);
    if (queues === undefined) return;
    let refusal: unknown = null;
    for (const queue of queues) {
      try {
        queue.push({ message, answer: null, lost: null, deliveries: 0 });
      } catch (error) {
        refusal = error;
      }
    }
    if (refusal !== null) throw refusal;
  }

  #make(name: string, kind: Exclude<QueueKind, "dead">, singleActive: boolean): LocalQueue {
    return new LocalQueue({ name, kind, limit: this.#limits[kind], singleActive, logger: this.#logger, clock: this.#clock, bury: (letter, source) => this.deadLetters.bury(letter, source) });
  }
}

const shared = new Map<string, LocalBroker>();

/** The broker of that name in this process: what `local:name` opens. */
export function sharedBroker(name: string, logger: Logger, clock: Clock): LocalBroker {
  let broker = shared.get(name);
  if (broker === undefined) shared.set(name, broker = new LocalBroker(logger, clock));
  return broker;
}

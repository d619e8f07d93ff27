import { fail, type BodyOf, type Contract, type ReplyOf } from "@gantry/contracts";
import { checkMessage } from "@gantry/contracts/validate";
import { checkGroup, singleActive } from "../consumers.ts";
import type { DeadLetters } from "../dead-letters.ts";
import { Dispatcher } from "../dispatcher.ts";
import { checkKey, queueOf, type Message } from "../message.ts";
import { LIMITS } from "../limits.ts";
import type { BusOptions } from "../options.ts";
import type { Bus, CallOptions, PublishOptions, Route, ServeOptions, SubscribeOptions } from "../port.ts";
import { readReply } from "../reply.ts";
import { Tracing } from "../tracing.ts";
import { serialize } from "../validation.ts";
import { LocalBroker } from "./broker.ts";
import type { LocalConsumer, LocalQueue } from "./queue.ts";

export interface LocalBusOptions extends BusOptions {
  /** Buses with the same broker hear each other; default: a broker of its own. */
  readonly broker?: LocalBroker;
}

/** A bus within this process: the same promises as RabbitMQ's, except that nothing outlives the process. */
export function createLocalBus(options: LocalBusOptions): Bus {
  return new LocalBus(options);
}

interface Pending { readonly reject: (reason: unknown) => void }

class LocalBus implements Bus {
  readonly #broker: LocalBroker;
  readonly #options: BusOptions;
  readonly #tracing: Tracing;
  readonly #consumers = new Set<AsyncDisposable>();
  readonly #pending = new Set<Pending>();
  #closed = false;

  constructor(options: LocalBusOptions) {
    this.#options = options;
    this.#broker = options.broker ?? new LocalBroker(options.logger, options.clock, options.limits);
    this.#tracing = new Tracing("gantry.local");
  }

  get deadLetters(): DeadLetters { return this.#broker.deadLetters; }

  async call<C extends Contract<"command"> | Contract<"query">>(contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
    this.#checkOpen();
    options.signal?.throwIfAborted();
    const destination = queueOf(contract, options.node);
    const text = serialize(contract, "body", body);
    const id = checkKey(options.key);
    return await this.#tracing.send(destination, contract.name, id, true, async (headers) => {
      const queue = this.#queueOf(contract, destination);
      if (queue === undefined) throw unserved(contract, destination);
      const reply = readReply(await this.#ask(queue, contract, { id, name: contract.name, body: text, headers }, options));
      checkMessage(contract, "reply", reply);
      return reply as ReplyOf<C>;
    });
  }

  /** Where a call goes; undefined when nobody serves the owner. A command may wait while its owner's queries are served. */
  #queueOf(contract: Contract, destination: string): LocalQueue | undefined {
    const [queue, queries] = [this.#broker.find(destination), this.#broker.find(queriesOf(destination))];
    if (contract.kind === "query" && queries?.served === true) return queries;
    return queue?.served === true || queries?.served === true ? queue : undefined;
  }

  #ask(queue: LocalQueue, contract: Contract, message: Message, options: CallOptions): Promise<string> {
    const { timeoutMs = LIMITS.callTimeoutMs, signal } = options;
    if (this.#pending.size >= LIMITS.calls) return Promise.reject(fail("UNAVAILABLE", `${LIMITS.calls} calls already wait for replies: try again later`));
    return new Promise((resolve, reject) => {
      const pending: Pending = { reject: (reason) => { end(); reject(reason); } };
      const abort = () => pending.reject(signal?.reason);
      const timer = timeoutMs > 0
        ? setTimeout(() => pending.reject(fail("TIMEOUT", `${queue.name} did not answer ${contract.name} within ${timeoutMs} ms`)), timeoutMs)
        : undefined;
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(pending);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#pending.add(pending);
      try {
        queue.push({
          message, deliveries: 0,
          answer: (text) => { end(); resolve(text); },
          lost: contract.kind === "query" ? () => pending.reject(unserved(contract, queue.name)) : null,
        });
      } catch (error) {
        pending.reject(error);
      }
    });
  }

  async send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<void> {
    this.#checkOpen();
    options.signal?.throwIfAborted();
    const destination = contract.kind === "job" ? `job.${contract.name}` : queueOf(contract, options.node);
    const text = serialize(contract, "body", body);
    const id = checkKey(options.key);
    await this.#tracing.send(destination, contract.name, id, false, async (headers) => {
      const queue = this.#broker.find(destination);
      if (queue === undefined) throw unserved(contract, destination);
      queue.push({ message: { id, name: contract.name, body: text, headers }, answer: null, lost: null, deliveries: 0 });
    });
  }

  async publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options: PublishOptions = {}): Promise<void> {
    this.#checkOpen();
    const text = serialize(contract, "body", body);
    const id = checkKey(options.key);
    await this.#tracing.send("events", contract.name, id, false,
      async (headers) => this.#broker.publish({ id, name: contract.name, body: text, headers }));
  }

  async serve(queue: string, routes: readonly Route[], options: ServeOptions = {}): Promise<AsyncDisposable> {
    this.#checkOpen();
    const queries = options.only === "queries";
    const exclusive = queries ? options.exclusive ?? false : singleActive(queue, options.exclusive);
    return this.#consume(this.#broker.declare(queries ? queriesOf(queue) : queue, queries ? "queries" : "commands", exclusive), routes, options, LIMITS.concurrency);
  }

  async work(route: Route, options: ServeOptions = {}): Promise<AsyncDisposable> {
    this.#checkOpen();
    return this.#consume(this.#broker.declare(`job.${route.contract.name}`, "job", options.exclusive ?? false), [route], options, 1);
  }

  async subscribe(routes: readonly Route[], options: SubscribeOptions = {}): Promise<AsyncDisposable> {
    this.#checkOpen();
    if (options.group !== undefined) checkGroup(options.group, routes.map(({ contract }) => contract.name));
    const queue = options.group === undefined ? this.#broker.anonymous() : this.#broker.declare(`group.${options.group}`, "group", true);
    const consumer = this.#consume(queue, routes, options, 1, options.group === undefined ? () => this.#broker.unbind(queue) : undefined);
    for (const route of routes) this.#broker.bind(route.contract.name, queue);
    return consumer;
  }

  #consume(queue: LocalQueue, routes: readonly Route[], options: ServeOptions, concurrency: number, onClose?: () => void): AsyncDisposable {
    const consumer: LocalConsumer = {
      dispatcher: new Dispatcher(routes, queue.name, this.#tracing, this.#options),
      service: this.#options.service,
      concurrency: options.concurrency ?? concurrency,
      maxAttempts: options.maxAttempts ?? LIMITS.maxAttempts,
      closing: new AbortController(),
      inHand: new Set(),
      idle: null,
    };
    queue.add(consumer);
    const handle: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        this.#consumers.delete(handle);
        onClose?.();
        await queue.remove(consumer);
      },
    };
    this.#consumers.add(handle);
    return handle;
  }

  #checkOpen(): void {
    if (this.#closed) throw fail("UNAVAILABLE", "the bus is closed");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#consumers].map((consumer) => consumer[Symbol.asyncDispose]()));
    for (const pending of this.#pending) pending.reject(fail("UNAVAILABLE", "the bus was closed before the reply came"));
  }
}

/** The queue of those who serve an owner's queries alone. */
const queriesOf = (owner: string) => `${owner}.queries`;

function unserved(contract: Contract, destination: string) {
  return fail("UNAVAILABLE", `nobody serves ${contract.name} (queue ${destination}): try again later`);
}

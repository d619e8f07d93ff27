import { fail, type BodyOf, type Contract, type ReplyOf } from "@gantry/contracts";
import { checkMessage } from "@gantry/contracts/validate";
import { describeError, isGantryError, retry } from "@gantry/kernel";
import type { ConfirmChannel } from "amqplib";
import { Dispatcher } from "../dispatcher.ts";
import { checkKey, newMessageId, queueOf, type Message } from "../message.ts";
import { LIMITS, type BusOptions } from "../options.ts";
import type { Bus, CallOptions, PublishOptions, Route, ServeOptions, SubscribeOptions } from "../port.ts";
import { readReply } from "../reply.ts";
import { Tracing } from "../tracing.ts";
import { serialize } from "../validation.ts";
import { Caller } from "./caller.ts";
import { Consumer, type ConsumerOptions } from "./consumer.ts";
import { toContent, toProperties } from "./envelope.ts";
import { KeptChannel } from "./kept-channel.ts";
import { Link } from "./link.ts";
import { Publisher } from "./publisher.ts";
import { Topology } from "./topology.ts";

/** Opens the bus on RabbitMQ: a connection that publishes and calls, and one that consumes, so that neither holds up the other. */
export async function openRabbitBus(url: string, options: BusOptions): Promise<Bus> {
  await using opening = new AsyncDisposableStack();
  const logger = options.logger.child({ part: "bus" });
  const open = async (purpose: string) => opening.use(await Link.open(url, { name: `${options.service} ${purpose}`, heartbeatSeconds: options.heartbeatSeconds ?? LIMITS.heartbeatSeconds, clock: options.clock, logger }));
  const out = await open("publisher");
  const topology = new Topology(options.namespace ?? "gantry");
  const publisher = new Publisher();
  const caller = new Caller(options.service);
  const keep = async (name: string, setUp: (channel: ConfirmChannel) => Promise<void>, onReady?: (channel: ConfirmChannel) => void) =>
    opening.use(await KeptChannel.open({ link: out, clock: options.clock, logger, name, setUp, ...(onReady === undefined ? {} : { onReady }) }));
  publisher.use(await keep("publisher", async (channel) => {
    publisher.setUp(channel);
    await topology.declareExchanges(channel);
  }));
  caller.use(await keep("caller", (channel) => caller.setUp(channel), (channel) => caller.resend(channel)));
  const into = await open("consumer");
  return new RabbitBus({ options: { ...options, logger }, into, topology, publisher, caller, resources: opening.move() });
}

interface Parts {
  readonly options: BusOptions;
  /** The connection that consumes. */
  readonly into: Link;
  readonly topology: Topology;
  readonly publisher: Publisher;
  readonly caller: Caller;
  readonly resources: AsyncDisposableStack;
}

class RabbitBus implements Bus {
  readonly #parts: Parts;
  readonly #tracing: Tracing;
  readonly #consumers = new Set<AsyncDisposable>();
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#tracing = new Tracing("rabbitmq");
  }

  async call<C extends Contract<"command"> | Contract<"query">>(contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
    this.#checkOpen();
    options.signal?.throwIfAborted();
    const { topology, caller } = this.#parts;
    const owner = queueOf(contract, options.node);
    const text = serialize(contract, "body", body);
    const id = checkKey(options.key);
    const { timeoutMs = LIMITS.callTimeoutMs, signal } = options;
    return await this.#tracing.send(owner, contract.name, id, true, async (headers) => {
      const started = performance.now();
      // A query's queue is there only while someone serves it; a command's outlives its server, so ask first.
      if (contract.kind === "command") await abortable(this.#checkServed(contract, owner, timeoutMs), signal);
      const left = timeoutMs > 0 ? Math.max(1, timeoutMs - (performance.now() - started)) : 0;
      const queue = contract.kind === "command" ? topology.commands(owner) : topology.queries(owner);
      const reply = readReply(await caller.call(queue, contract, { id, name: contract.name, body: text, headers }, { timeoutMs: left, signal }));
      checkMessage(contract, "reply", reply);
      return reply as ReplyOf<C>;
    });
  }

  /** One round trip: a message into the void is returned unless someone shows presence. */
  async #checkServed(contract: Contract, owner: string, timeoutMs: number): Promise<void> {
    const { publisher, topology } = this.#parts;
    if (await publisher.tryPublish(topology.presence, owner, NOTHING, { mandatory: true }, deadlineOf(timeoutMs)) === "returned") {
      throw fail("UNAVAILABLE", `nobody serves ${contract.name} (queue ${owner})`);
    }
  }

  async send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const { topology } = this.#parts;
    const destination = contract.kind === "job" ? `job.${contract.name}` : queueOf(contract, options.node);
    const queue = contract.kind === "job" ? topology.job(contract.name) : topology.commands(destination);
    await this.#publish("", queue, destination, contract, body, options.key, true, options.timeoutMs);
  }

  async publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options: PublishOptions = {}): Promise<void> {
    await this.#publish(this.#parts.topology.events, contract.name, "events", contract, body, options.key, false, undefined);
  }

  async #publish(exchange: string, routingKey: string, destination: string, contract: Contract, body: unknown, key: string | undefined, mandatory: boolean, timeoutMs: number = LIMITS.callTimeoutMs): Promise<void> {
    this.#checkOpen();
    const { publisher, options } = this.#parts;
    const text = serialize(contract, "body", body);
    const id = checkKey(key);
    await this.#tracing.send(destination, contract.name, id, false, async (headers) => {
      const message: Message = { id, name: contract.name, body: text, headers };
      await publisher.publish(exchange, routingKey, toContent(message), { ...toProperties(message, options.service), persistent: true, mandatory }, deadlineOf(timeoutMs));
    });
  }

  async serve(owner: string, routes: readonly Route[], options: ServeOptions = {}): Promise<AsyncDisposable> {
    const { topology } = this.#parts;
    const { exclusive = false, only } = options;
    const sign = newMessageId();
    return await this.#consume(owner, routes, { concurrency: LIMITS.concurrency, ...options }, {
      ordered: false,
      async declare(channel) {
        const commands = topology.commands(owner);
        const queries = topology.queries(owner);
        if (exclusive) await topology.lockRegistration(channel, owner);
        // Also by who serves queries alone: its dead letters go there, and whoever finds it present may send a command.
        await topology.declareDurable(channel, commands, only === "queries" || exclusive);
        if (only !== "commands") await topology.declareQueries(channel, queries, exclusive);
        const queues = only === undefined ? [commands, queries] : [only === "commands" ? commands : queries];
        return queues.map((queue) => ({ queue, label: owner, deadKey: commands }));
      },
      async onConsuming(channel) {
        if (exclusive) await topology.unlockRegistration(channel, owner);
        await topology.declarePresence(channel, owner, sign);
      },
      onClosing: (channel) => topology.deletePresence(channel, owner, sign),
    });
  }

  async work(route: Route, options: ServeOptions = {}): Promise<AsyncDisposable> {
    const { topology } = this.#parts;
    const label = `job.${route.contract.name}`;
    return await this.#consume(label, [route], { concurrency: 1, ...options }, {
      ordered: false,
      async declare(channel) {
        const queue = topology.job(route.contract.name);
        await topology.declareDurable(channel, queue, options.exclusive ?? false);
        return [{ queue, label, deadKey: queue }];
      },
    });
  }

  async subscribe(routes: readonly Route[], options: SubscribeOptions = {}): Promise<AsyncDisposable> {
    const { topology } = this.#parts;
    const events = routes.map((route) => route.contract.name);
    const { group } = options;
    const label = group === undefined ? "subscriber" : `group.${group}`;
    return await this.#consume(label, routes, { concurrency: 1, ...options }, {
      ordered: true,
      async declare(channel) {
        if (group === undefined) return [{ queue: await topology.declareSubscriber(channel, events), label, deadKey: topology.subscriber }];
        const queue = topology.group(group);
        await topology.declareDurable(channel, queue, true);
        await topology.bindGroup(channel, queue, events);
        return [{ queue, label, deadKey: queue }];
      },
    });
  }

  async #consume(name: string, routes: readonly Route[], options: ServeOptions, how: Pick<ConsumerOptions, "ordered" | "declare" | "onConsuming" | "onClosing">): Promise<AsyncDisposable> {
    this.#checkOpen();
    const { into, topology, options: { clock, logger } } = this.#parts;
    const consumer = await openConsumer(name, {
      ...how, link: into, clock, logger, topology, name,
      dispatcher: new Dispatcher(routes, name, this.#tracing, logger),
      concurrency: options.concurrency ?? 1,
      maxAttempts: options.maxAttempts ?? LIMITS.maxAttempts,
    });
    const handle: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        this.#consumers.delete(handle);
        await consumer[Symbol.asyncDispose]();
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
    this.#parts.caller.close(fail("UNAVAILABLE", "the bus was closed before the reply came"));
    await this.#parts.resources[Symbol.asyncDispose]();
  }
}

const NOTHING = Buffer.alloc(0);

function deadlineOf(timeoutMs: number): number {
  return timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/**
 * CONFLICT when the queue exists with other properties. Waits while another process registers itself for the same owner, and while a
 * connection that was just lost is made again.
 */
async function openConsumer(name: string, options: ConsumerOptions): Promise<Consumer> {
  try {
    return await retry(() => Consumer.open(options), {
      clock: options.clock, attempts: 24, baseMs: 20, maxMs: 1_000, signal: options.link.closing, retryable: (error) => mayPass(error),
    });
  } catch (cause) {
    if (isGantryError(cause)) throw cause;
    const reason = describeError(cause);
    if (reason.includes("PRECONDITION_FAILED")) throw fail("CONFLICT", `the queue of ${name} exists with other properties: ${reason}`, { cause });
    throw fail("UNAVAILABLE", `cannot consume ${name}: ${reason}`, { cause });
  }
}

/** amqplib's words for a lock of another connection, and for a connection that went away in the middle; not for what the broker refused. */
function mayPass(error: unknown): boolean {
  return error instanceof Error && /RESOURCE_LOCKED|^(Connection|Channel) (closed|closing|ended)(?! by server)/.test(error.message);
}

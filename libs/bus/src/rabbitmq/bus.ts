import { EVENT_GROUPS, fail, hasQueriesOnly, type BodyOf, type Contract, type ReplyOf } from "@gantry/contracts";
import { checkMessage } from "@gantry/contracts/validate";
import { backoffMs, describeError, isGantryError, retry, type GantryError } from "@gantry/kernel";
import type { Channel, ConfirmChannel } from "amqplib";
import { checkGroup, familyOf, queueFull, singleActive } from "../consumers.ts";
import type { DeadLetters } from "../dead-letters.ts";
import { Dispatcher } from "../dispatcher.ts";
import { checkKey, newMessageId, queueOf, type Message } from "../message.ts";
import { LIMITS } from "../limits.ts";
import type { BusOptions } from "../options.ts";
import type { Bus, CallOptions, PublishOptions, Route, ServeOptions, SubscribeOptions } from "../port.ts";
import { readReply } from "../reply.ts";
import { Tracing } from "../tracing.ts";
import { serialize } from "../validation.ts";
import { Caller, isUnserved, unserved } from "./caller.ts";
import { Consumer, type ConsumerOptions } from "./consumer.ts";
import { RabbitDeadLetters } from "./dead-letters.ts";
import { declare, declareExchanges } from "./declare.ts";
import { toContent, toProperties } from "./envelope.ts";
import { KeptChannel } from "./kept-channel.ts";
import { Link } from "./link.ts";
import { Publisher } from "./publisher.ts";
import { Topology, type Declaration } from "./topology.ts";

/** Opens the bus on RabbitMQ: a connection that publishes and calls, and one that consumes, so that neither holds up the other. */
export async function openRabbitBus(url: string, options: BusOptions): Promise<Bus> {
  await using opening = new AsyncDisposableStack();
  const logger = options.logger.child({ part: "bus" });
  const open = async (purpose: string) => opening.use(await Link.open(url, { name: `${options.service} ${purpose}`, heartbeatSeconds: options.heartbeatSeconds ?? LIMITS.heartbeatSeconds, clock: options.clock, logger }));
  const [out, into] = await Promise.all([open("publisher"), open("consumer")]);
  const topology = new Topology(options.namespace ?? "gantry", options.limits);
  const keep = async (name: string, setUp: (channel: ConfirmChannel) => Promise<void>, onReady?: (channel: ConfirmChannel) => void) =>
    opening.use(await KeptChannel.open({ link: out, clock: options.clock, logger, name, setUp, ...(onReady === undefined ? {} : { onReady }) }));
  const caller = new Caller(out, options.service);
  const keepPublisher = async (name: string) => {
    const publisher = new Publisher(out);
    publisher.use(await keep(name, async (channel) => {
      publisher.setUp(channel);
      await declareExchanges(channel, topology.exchanges);
    }));
    return publisher;
  };
  // Replies and dead letters do not queue behind what this process sends.
  const [publisher, settler, called] = await Promise.all([
    keepPublisher("publisher"), keepPublisher("replies"), keep("caller", (channel) => caller.setUp(channel), (channel) => caller.resend(channel)),
  ]);
  caller.use(called);
  const letters = new RabbitDeadLetters({ link: into, publisher, topology, clock: options.clock, logger });
  return new RabbitBus({ options: { ...options, logger }, out, into, topology, publisher, settler, caller, letters, resources: opening.move() });
}

interface Parts {
  readonly options: BusOptions;
  /** The connection that publishes. */
  readonly out: Link;
  /** The connection that consumes. */
  readonly into: Link;
  readonly topology: Topology;
  readonly publisher: Publisher;
  /** Of replies and dead letters. */
  readonly settler: Publisher;
  readonly caller: Caller;
  readonly letters: DeadLetters;
  readonly resources: AsyncDisposableStack;
}

class RabbitBus implements Bus {
  readonly #parts: Parts;
  readonly #tracing: Tracing;
  readonly #consumers = new Set<AsyncDisposable>();
  /** When each owner's last answer came: someone serves it. */
  readonly #answered = new Map<string, number>();
  readonly deadLetters: DeadLetters;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.deadLetters = parts.letters;
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
      const { limits } = topology;
      const target = contract.kind === "command"
        ? { queue: topology.commands(owner), full: () => queueFull(`${owner} commands`, limits.commands) }
        : { queue: topology.queries(owner), full: () => queueFull(`${owner} queries`, limits.queries) };
      const reply = await this.#onceServed(deadlineOf(timeoutMs), signal, async (left) => {
        const started = performance.now();
        // A query's queue is there only while someone serves it; a command's outlives its server, so ask first.
        if (contract.kind === "command" && !this.#answeredLately(owner)) await abortable(this.#checkServed(contract, owner, left), signal);
        return await caller.call({ ...target, owner, contract }, { id, name: contract.name, body: text, headers }, { timeoutMs: left > 0 ? Math.max(1, left - (performance.now() - started)) : 0, signal });
      });
      this.#noteAnswer(owner);
      const value = readReply(reply);
      checkMessage(contract, "reply", value);
      return value as ReplyOf<C>;
    });
  }

  /** Nobody serves, just after the broker was away: others are not connected again yet. `ask` is given the milliseconds left, 0 for no limit. */
  async #onceServed(deadline: number, signal: AbortSignal | undefined, ask: (left: number) => Promise<string>): Promise<string> {
    const { out, options: { clock } } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask(deadline === Infinity ? 0 : Math.max(1, deadline - performance.now()));
      } catch (error) {
        if (!isUnserved(error) || performance.now() > Math.min(deadline, out.restoredAt + SETTLING_MS)) throw error;
        await clock.sleep(backoffMs(attempt, Math.random, { baseMs: 20, maxMs: 500 }), signal);
      }
    }
  }

  #answeredLately(owner: string): boolean {
    return performance.now() - (this.#answered.get(owner) ?? Number.NEGATIVE_INFINITY) < PRESENT_MS;
  }

  #noteAnswer(owner: string): void {
    this.#answered.delete(owner);
    this.#answered.set(owner, performance.now());
    if (this.#answered.size <= LIMITS.rememberedReplies) return;
    const oldest = this.#answered.keys().next();
    if (!oldest.done) this.#answered.delete(oldest.value);
  }

  /** One round trip: a message into the void is returned unless someone shows presence. */
  async #checkServed(contract: Contract, owner: string, timeoutMs: number): Promise<void> {
    const { publisher, topology } = this.#parts;
    if (await publisher.publish(topology.presence, owner, NOTHING, { mandatory: true }, deadlineOf(timeoutMs)) === "returned") throw unserved(contract, owner);
  }

  async send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const { topology } = this.#parts;
    if (contract.kind === "job") {
      await this.#publish({ exchange: "", routingKey: topology.job(contract.name), label: `job.${contract.name}`, full: () => queueFull(`${contract.name} jobs`, topology.limits.job) }, contract, body, options);
    } else {
      const owner = queueOf(contract, options.node);
      await this.#publish({ exchange: "", routingKey: topology.commands(owner), label: owner, full: () => queueFull(`${owner} commands`, topology.limits.commands) }, contract, body, options);
    }
  }

  async publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options: PublishOptions = {}): Promise<void> {
    await this.#publish({ exchange: this.#parts.topology.events, routingKey: contract.name, label: "events", full: () => groupsFull(contract.name, this.#parts.topology) }, contract, body, options);
  }

  async #publish(to: Destination, contract: Contract, body: unknown, { key, timeoutMs = LIMITS.callTimeoutMs }: Pick<CallOptions, "key" | "timeoutMs">): Promise<void> {
    this.#checkOpen();
    const { publisher, options } = this.#parts;
    const text = serialize(contract, "body", body);
    const id = checkKey(key);
    await this.#tracing.send(to.label, contract.name, id, false, async (headers) => {
      const message: Message = { id, name: contract.name, body: text, headers };
      const properties = { ...toProperties(message, options.service), persistent: true, mandatory: contract.kind !== "event" };
      const outcome = await publisher.publish(to.exchange, to.routingKey, toContent(message), properties, deadlineOf(timeoutMs));
      if (outcome === "returned") throw unserved(contract, to.label);
      if (outcome === "refused") throw to.full();
    });
  }

  async serve(owner: string, routes: readonly Route[], options: ServeOptions = {}): Promise<AsyncDisposable> {
    const { topology } = this.#parts;
    const { only } = options;
    const queriesOnly = hasQueriesOnly(familyOf(owner));
    const exclusive = only === "queries" ? options.exclusive ?? false : singleActive(owner, options.exclusive);
    const sign = newMessageId();
    const presence = topology.presenceOf(owner, sign);
    // One process at a time registers as single active consumer of an owner: so all its queues come to know the candidates in the same
    // order, and the same one is active on each. Declaring fails with RESOURCE_LOCKED while another connection holds the lock.
    const lock = topology.lock(`${owner}.registering`);
    return await this.#consume(owner, routes, { concurrency: LIMITS.concurrency, ...options }, {
      ordered: false,
      async declare(channel) {
        if (exclusive) await declare(channel, lock);
        // Also by who serves queries alone: its dead letters go there, and whoever finds it present may send a command.
        if (!queriesOnly) await declare(channel, topology.ownerCommands(owner, only === "queries" || exclusive));
        if (only !== "commands") await declare(channel, topology.ownerQueries(owner, exclusive));
        return [...(queriesOnly || only === "queries" ? [] : [topology.commands(owner)]), ...(only === "commands" ? [] : [topology.queries(owner)])];
      },
      async onConsuming(channel) {
        if (exclusive) await deleteQueues(channel, lock);
        await declare(channel, presence);
      },
      onClosing: (channel) => deleteQueues(channel, presence),
    });
  }

  async work(route: Route, options: ServeOptions = {}): Promise<AsyncDisposable> {
    const { topology } = this.#parts;
    const { name } = route.contract;
    return await this.#consume(`job.${name}`, [route], { concurrency: 1, ...options }, {
      ordered: false,
      async declare(channel) {
        await declare(channel, topology.jobs(name, options.exclusive));
        return [topology.job(name)];
      },
    });
  }

  async subscribe(routes: readonly Route[], options: SubscribeOptions = {}): Promise<AsyncDisposable> {
    const { topology, options: { service } } = this.#parts;
    const events = routes.map((route) => route.contract.name);
    const { group } = options;
    if (group !== undefined) checkGroup(group, events);
    const declaration = group === undefined ? topology.subscriber(`${familyOf(service)}.${newMessageId()}`, events) : topology.groupEvents(group, events);
    const queue = declaration.queues.at(-1)!.name;
    return await this.#consume(group === undefined ? "subscriber" : `group.${group}`, routes, { concurrency: 1, ...options }, {
      ordered: true,
      async declare(channel) {
        await declare(channel, declaration);
        return [queue];
      },
      ...(group === undefined ? { onClosed: async (channel: Channel) => { await channel.deleteQueue(queue); } } : {}),
    });
  }

  async #consume(name: string, routes: readonly Route[], options: ServeOptions, how: Pick<ConsumerOptions, "ordered" | "declare" | "onConsuming" | "onClosing" | "onClosed">): Promise<AsyncDisposable> {
    this.#checkOpen();
    const { into, topology, settler, options: { clock, logger, service } } = this.#parts;
    const consumer = await openConsumer(name, {
      ...how, link: into, clock, logger, topology, publisher: settler, service, name,
      dispatcher: new Dispatcher(routes, name, this.#tracing, { clock, logger }),
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

interface Destination {
  readonly exchange: string;
  readonly routingKey: string;
  /** As spans and errors name it. */
  readonly label: string;
  readonly full: () => GantryError;
}

const NOTHING = Buffer.alloc(0);
/** Whoever answered within this time is there. */
const PRESENT_MS = 1_000;
/** After the broker was away, everyone is connected again within this time. */
const SETTLING_MS = 10_000;

/** The broker does not say which of an event's queues refused it. */
function groupsFull(event: string, { limits }: Topology): GantryError {
  const groups = Object.entries(EVENT_GROUPS).filter(([, events]) => events.some(({ name }) => name === event)).map(([group]) => group);
  return queueFull(groups.length === 0 ? `a group that takes ${event}` : `the group ${groups.join(" or ")}`, limits.group);
}

async function deleteQueues(channel: Channel, { queues }: Declaration): Promise<void> {
  for (const { name } of queues) await channel.deleteQueue(name);
}

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

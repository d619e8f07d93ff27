import type { BodyOf, Contract, ReplyOf } from "@gantry/contracts";
import type { DeadLetters } from "./dead-letters.ts";

/** What a handler is told beside the body. */
export interface Delivery {
  /** The sender's idempotency key: the same at every delivery and every repetition of this message. */
  readonly messageId: string;
  /** True when this message may have been delivered before. */
  readonly redelivered: boolean;
  /** 1 at the first delivery. */
  readonly attempt: number;
  /** Aborts when the consumer is being closed. */
  readonly signal: AbortSignal;
}

export type Handler<C extends Contract> = (body: BodyOf<C>, delivery: Delivery) => Promise<ReplyOf<C>>;

/**
 * Thrown by a handler that must not handle the message, now or ever, while another consumer may: it goes back to the queue, its
 * caller waits on. Meant for a consumer that is about to be closed: until it is, the message may come again.
 */
export class GiveBack extends Error {
  override readonly name = "GiveBack";
}

/** A contract with its handler, made by {@link on}; the types meet there and nowhere else. */
export interface Route {
  readonly contract: Contract;
  readonly handle: (body: unknown, delivery: Delivery) => Promise<unknown>;
}

export function on<C extends Contract>(contract: C, handle: Handler<C>): Route {
  return { contract, handle: handle as Route["handle"] };
}

export interface CallOptions {
  /** For `node.*` messages: the node's ID; for `worker.*`: the build worker's name. */
  readonly node?: string;
  /** Default 30 s. Past it the call fails with TIMEOUT; a command may still be carried out. 0: no limit. */
  readonly timeoutMs?: number;
  /**
   * Idempotency key; default: a new random one. It is the `messageId` that the handler sees. A command or job whose key is being
   * handled joins that handling; a command that was carried out is answered with its first reply while the server remembers it.
   */
  readonly key?: string;
  readonly signal?: AbortSignal;
}

export interface PublishOptions {
  /**
   * The event's `messageId`; default: a new random one. An outbox gives the same one each time it repeats itself: a subscriber handles
   * it once while it remembers (the last 1,000).
   */
  readonly key?: string;
}

/**
 * The message bus. One contract suite (`contract-suite/`) holds for each implementation.
 *
 * - Bodies and replies are serialized, and validated against their contract on both sides: a bad one is INVALID at
 *   the sender, and at the receiver goes to the dead-letter queue (event, job, command without caller) or is answered INVALID.
 * - A handler that throws a GantryError answers the caller with that code, message and details; any other error is INTERNAL,
 *   is logged, and counts as a failed delivery for jobs and events (redelivered, after `maxAttempts` dead-lettered).
 *   A command with a caller waiting is not retried after a coded error. Without one, UNAVAILABLE (a database that is away) counts as no
 *   failed delivery for ten minutes: the handler is called again after a pause that grows to five seconds.
 * - Calls to an owner nobody serves fail at once with UNAVAILABLE (unroutable), except commands sent with {@link send}
 *   to a queue that is declared: these wait. Over RabbitMQ an owner who answered within the last second is not asked whether it is
 *   there: a command may then wait for it until its timeout.
 * - Every queue is bounded (limits.ts). A full one refuses with QUEUE_FULL and loses nothing; a subscriber's own queue and the dead
 *   letters lose the oldest. A broker that is away or takes nothing is UNAVAILABLE at the call's timeout; nothing piles up without bound.
 * - W3C trace context travels in headers; each publish and each handling is a span.
 */
export interface Bus extends AsyncDisposable {
  /** Sends a command or query and waits for its reply. */
  call<C extends Contract<"command"> | Contract<"query">>(contract: C, body: BodyOf<C>, options?: CallOptions): Promise<ReplyOf<C>>;
  /** Sends a command or job; resolves when the broker has taken responsibility for it. */
  send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options?: CallOptions): Promise<void>;
  /** Publishes an event; resolves when the broker has it. No subscriber is no error. */
  publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options?: PublishOptions): Promise<void>;

  /**
   * Consumes commands and queries of one owner: `queue` is its name (`scheduler`, `image-store`, `build`, `node.<id>`).
   * `exclusive`: single active consumer. Queries and commands are handled `concurrency` at a time (default 64).
   */
  serve(queue: string, routes: readonly Route[], options?: ServeOptions): Promise<AsyncDisposable>;
  /** Consumes a job queue, competing with other consumers. At most `concurrency` unacknowledged at a time (default 1). */
  work(route: Route, options?: ServeOptions): Promise<AsyncDisposable>;
  /**
   * Receives events. With `group`, a durable queue of that name shares the events among its consumers; they are kept while
   * nobody listens, and handled in order. Without, every subscriber gets each event published while it is subscribed, in order; what
   * is published while its connection to the broker, or the broker itself, is away for up to ten minutes comes when it is back.
   */
  subscribe(routes: readonly Route[], options?: SubscribeOptions): Promise<AsyncDisposable>;
  readonly deadLetters: DeadLetters;
}

export interface ServeOptions {
  readonly concurrency?: number;
  /** Single active consumer; default: as the contracts say of the owner (SINGLE_ACTIVE_OWNERS). */
  readonly exclusive?: boolean;
  /**
   * Only for `serve`: consumes the owner's commands or its queries alone; default: both. Several processes may so share the queries
   * while one has the commands. As long as any of them serves, commands are taken: they wait for their server.
   */
  readonly only?: "commands" | "queries";
  /** Deliveries before a message is dead-lettered; default 3. */
  readonly maxAttempts?: number;
}

export interface SubscribeOptions extends ServeOptions {
  readonly group?: string;
}

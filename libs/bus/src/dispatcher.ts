import { fail, type MessageKind } from "@gantry/contracts";
import { GantryError, backoffMs, describeError, failpoint, type Clock, type Logger } from "@gantry/kernel";
import type { Message } from "./message.ts";
import { LIMITS } from "./limits.ts";
import { GiveBack, type Delivery, type Route } from "./port.ts";
import { errorText, okText } from "./reply.ts";
import type { Tracing } from "./tracing.ts";
import { parse, serialize } from "./validation.ts";

/** Not queries, which change nothing; and not jobs: one with the same key may be a new beginning. */
const REMEMBERED: ReadonlySet<MessageKind> = new Set(["command", "event"]);

/** What becomes of a delivered message. */
export type Outcome =
  /** Handled, or its error answered: acknowledge; `reply` goes to the caller, if there is one. */
  | { readonly kind: "done"; readonly succeeded: boolean; readonly reply: string }
  /** The handler failed: deliver again, or dead-letter once the attempts are used up. */
  | { readonly kind: "failed"; readonly error: GantryError }
  /** Left to another consumer: back to the queue. */
  | { readonly kind: "returned" }
  /** It never will be handled: dead-letter. */
  | { readonly kind: "dead"; readonly error: GantryError };

/** What a caller is answered, whatever became of the message. */
export function replyOf(outcome: Exclude<Outcome, { kind: "returned" }>): string {
  return outcome.kind === "done" ? outcome.reply : errorText(outcome.error);
}

/** A message as it was delivered. */
export interface Incoming extends Delivery {
  readonly message: Message;
  /** A caller waits for the reply, so errors are answered and not retried. */
  readonly awaited: boolean;
}

/**
 * Runs the handlers of one consumer: finds the route, validates both sides, maps errors to what becomes of the message.
 * A message that is delivered again while its first delivery is still being handled (the connection was lost in between)
 * joins that handling; a command that was carried out before is answered from memory, and an event that was handled before (its key
 * says so) is not handled again.
 *
 * What a handler needs may be away: for a message without a caller UNAVAILABLE is no failed attempt, but tried again until it is there, or
 * for ten minutes. Meanwhile it is in hand, and so are no more than the consumer's `concurrency`.
 */
export class Dispatcher {
  readonly #clock: Clock;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #destination: string;
  readonly #tracing: Tracing;
  readonly #logger: Logger;
  readonly #running = new Map<string, Promise<Outcome>>();
  readonly #replies = new Map<string, Outcome>();

  constructor(routes: readonly Route[], destination: string, tracing: Tracing, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock;
    this.#routes = new Map(routes.map((route) => [route.contract.name, route]));
    if (this.#routes.size !== routes.length) throw fail("INVALID", `${destination}: a message is routed twice`);
    this.#destination = destination;
    this.#tracing = tracing;
    this.#logger = logger;
  }

  /** Whether an earlier delivery of the message is being handled: handling this one then means to wait for that. */
  isHandling({ name, id }: Message): boolean {
    return this.#running.has(`${name} ${id}`);
  }

  /** Never rejects. */
  handle(incoming: Incoming): Promise<Outcome> | Outcome {
    const { message } = incoming;
    const route = this.#routes.get(message.name);
    if (message.id === "") return this.#refuse(incoming, fail("INVALID", `a message without ID came to ${this.#destination}`));
    if (route === undefined) return this.#refuse(incoming, fail("NOT_IMPLEMENTED", `${this.#destination} does not handle ${message.name}`));
    const key = `${message.name} ${message.id}`;
    const known = this.#running.get(key) ?? this.#replies.get(key);
    if (known !== undefined) return known;
    const handling = this.#patiently(route, incoming).then((outcome) => {
      this.#running.delete(key);
      if (outcome.kind === "done" && outcome.succeeded && REMEMBERED.has(route.contract.kind)) this.#remember(key, outcome);
      return outcome;
    });
    this.#running.set(key, handling);
    return handling;
  }

  async #patiently(route: Route, incoming: Incoming): Promise<Outcome> {
    const deadline = performance.now() + LIMITS.patienceMs;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#run(route, incoming);
      if (outcome.kind !== "failed" || outcome.error.code !== "UNAVAILABLE" || performance.now() > deadline) return outcome;
      const pause = backoffMs(attempt, Math.random, { baseMs: 50, maxMs: LIMITS.patiencePauseMs });
      this.#logger[attempt === 5 ? "warn" : "debug"]({ message: incoming.message.name, messageId: incoming.message.id, attempt }, `what handles ${incoming.message.name} is not there, trying again: ${outcome.error.message}`);
      try {
        await this.#clock.sleep(pause, incoming.signal);
      } catch {
        return { kind: "returned" };
      }
    }
  }

  async #run(route: Route, incoming: Incoming): Promise<Outcome> {
    const { message, awaited } = incoming;
    const { contract } = route;
    let body: unknown;
    try {
      body = parse(contract, "body", message.body);
    } catch (error) {
      return this.#refuse(incoming, asCoded(error));
    }
    try {
      return await this.#tracing.process(this.#destination, message.name, message.id, message.headers, async () => {
        await failpoint(`bus.handle.${message.name}`);
        const reply = await route.handle(body, incoming);
        if (contract.kind === "event" || contract.kind === "job") return { kind: "done", succeeded: true, reply: "" };
        return { kind: "done", succeeded: true, reply: okText(this.#serializeReply(route, reply)) };
      });
    } catch (error) {
      if (error instanceof GiveBack) return { kind: "returned" };
      if (!(error instanceof GantryError)) this.#logger.error({ err: error, message: message.name, messageId: message.id, attempt: incoming.attempt }, `handling ${message.name} failed: ${describeError(error)}`);
      const coded = asCoded(error);
      return awaited ? { kind: "done", succeeded: false, reply: errorText(coded) } : { kind: "failed", error: coded };
    }
  }

  #serializeReply(route: Route, reply: unknown): string {
    try {
      return serialize(route.contract, "reply", reply);
    } catch (cause) {
      throw new Error("the handler's reply does not fit its contract", { cause });
    }
  }

  #refuse(incoming: Incoming, error: GantryError): Outcome {
    this.#logger.warn({ message: incoming.message.name, messageId: incoming.message.id, code: error.code }, `refused a message: ${error.message}`);
    return incoming.awaited ? { kind: "done", succeeded: false, reply: errorText(error) } : { kind: "dead", error };
  }

  #remember(key: string, outcome: Outcome): void {
    this.#replies.set(key, outcome);
    if (this.#replies.size <= LIMITS.rememberedReplies) return;
    const oldest = this.#replies.keys().next();
    if (!oldest.done) this.#replies.delete(oldest.value);
  }
}

/** The error as it crosses the bus: its own code, or INTERNAL with its message; what lay below stays here. */
function asCoded(error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  return fail("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
}

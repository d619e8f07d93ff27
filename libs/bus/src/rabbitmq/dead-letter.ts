import { createHash } from "node:crypto";
import { deadLetterId, type DeadLetter } from "../dead-letters.ts";
import { toMessage, type RawMessage } from "./envelope.ts";

/** Why a message is given up. Times in milliseconds since the epoch. */
export interface Burial {
  readonly label: string;
  /** The queue it was in, at the broker. */
  readonly queue: string;
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly service: string;
  readonly exchange: string;
  readonly routingKey: string;
}

const REASON_CHARACTERS = 2_000;

export function burialHeaders(burial: Burial): Record<string, string | number> {
  return {
    "gantry-queue": burial.label,
    "gantry-source": burial.queue,
    "gantry-code": burial.code,
    "gantry-reason": burial.reason.slice(0, REASON_CHARACTERS),
    "gantry-attempts": burial.attempts,
    "gantry-first-failed": new Date(burial.firstFailedAt).toISOString(),
    "gantry-last-failed": new Date(burial.lastFailedAt).toISOString(),
    "gantry-service": burial.service,
    "gantry-exchange": burial.exchange,
    "gantry-routing-key": burial.routingKey,
  };
}

/** A dead letter, and the queue at the broker to which it goes back. */
export interface BuriedLetter {
  readonly letter: DeadLetter;
  readonly source: string;
}

/** A message of a `.dead` queue, with the reason why it is there: from the consumer that buried it, or from the broker. */
export function toDeadLetter(raw: RawMessage, labelOf: (queue: string) => string): BuriedLetter {
  const headers = (raw.properties.headers ?? {}) as Record<string, unknown>;
  const text = (name: string): string | null => (typeof headers[name] === "string" ? headers[name] : null);
  const death = deathOf(headers);
  const source = text("gantry-source") ?? String(death.queue ?? "");
  const queue = text("gantry-queue") ?? labelOf(source);
  const message = toMessage(raw);
  // A foreign message may have no name and no ID; then its bytes are what it is known by.
  const key = message.id === "" ? { name: message.name, id: createHash("sha256").update(raw.content).digest("hex") } : message;
  const diedAt = typeof death.time === "object" && death.time !== null ? Number((death.time as { value?: unknown }).value) * 1000 : Number.NaN;
  const brokers = Number.isFinite(diedAt) ? new Date(diedAt).toISOString() : null;
  return {
    source,
    letter: {
      id: deadLetterId(queue, key), queue, message,
      code: text("gantry-code") ?? "INTERNAL",
      reason: text("gantry-reason") ?? `the broker gave it up (${String(death.reason ?? "unknown")}): its consumers ended while they handled it`,
      attempts: Number(headers["gantry-attempts"] ?? headers["x-delivery-count"] ?? death.count ?? 0),
      firstFailedAt: text("gantry-first-failed"),
      lastFailedAt: text("gantry-last-failed") ?? brokers,
      service: text("gantry-service") ?? "",
      exchange: text("gantry-exchange") ?? String(death.exchange ?? ""),
      routingKey: text("gantry-routing-key") ?? String((death["routing-keys"] as unknown[] | undefined)?.[0] ?? ""),
    },
  };
}

function deathOf(headers: Record<string, unknown>): Record<string, unknown> {
  const deaths = headers["x-death"];
  return Array.isArray(deaths) ? ((deaths[0] ?? {}) as Record<string, unknown>) : {};
}

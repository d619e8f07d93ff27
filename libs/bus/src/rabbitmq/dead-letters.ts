import type { ConsumeMessage } from "amqplib";
import type { DeadLetter } from "../message.ts";
import { toMessage } from "./envelope.ts";

/** A message of a `.dead` queue, with the reason why it is there: from the consumer that buried it, or from the broker. */
export function toDeadLetter(raw: ConsumeMessage): DeadLetter {
  const headers = (raw.properties.headers ?? {}) as Record<string, unknown>;
  const [death] = Array.isArray(headers["x-death"]) ? (headers["x-death"] as { queue?: unknown; reason?: unknown; count?: unknown }[]) : [];
  return {
    queue: String(headers["gantry-queue"] ?? death?.queue ?? ""),
    message: toMessage(raw),
    code: String(headers["gantry-code"] ?? "INTERNAL"),
    reason: String(headers["gantry-reason"] ?? `the broker gave up: ${String(death?.reason ?? "unknown")}`),
    attempts: Number(headers["gantry-attempts"] ?? death?.count ?? 0),
  };
}

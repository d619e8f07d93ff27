import type { DockerEvent } from "@gantry/contracts";
import type { Backend } from "../backend.ts";
import { eventMatches, eventRow } from "../domain/event-filter.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { parseTimestamp } from "../domain/timestamp.ts";
import type { Route } from "./exchange.ts";

/** A client that lets this much pile up has stopped reading. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
/** The longest time that setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function eventRoutes({ events, clock, logger }: Pick<Backend, "events" | "clock" | "logger">): Route[] {
  return [{ method: "GET", path: "/events", handle: async (x) => {
    const now = clock.nowNano();
    const since = parseTimestamp(x.query.get("since"), now);
    const until = parseTimestamp(x.query.get("until"), now);
    const filters = parseFilters(x.query.get("filters"), FILTERS.events);
    const { gone } = x;
    const output = x.open("application/json");
    const { promise: over, resolve: stop } = Promise.withResolvers<void>();
    const unfollow = events.follow(since === null ? events.seq : 0, (event: DockerEvent) => {
      const at = BigInt(Math.trunc(event.time)) * 1_000_000_000n + BigInt(event.timeNano) % 1_000_000_000n;
      if ((since !== null && at < since) || (until !== null && at > until) || !eventMatches(event, filters)) return;
      output.write(`${JSON.stringify(eventRow(event))}\n`);
      if (output.writableLength > MAX_UNREAD_BYTES) {
        logger.warn({}, "a client of /events does not read: disconnected");
        output.destroy();
      }
    });
    gone.addEventListener("abort", () => stop(), { once: true });
    let timer: NodeJS.Timeout | null = null;
    if (until !== null) timer = setTimeout(stop, Math.min(Math.max(Number((until - now) / 1_000_000n), 0), MAX_TIMER_MS));
    await over;
    unfollow();
    if (timer !== null) clearTimeout(timer);
    output.end();
  } }];
}

import { fail } from "@gantry/contracts";

/** Milliseconds of an RFC 3339 time; null for what is none, and for Go's zero time. */
export function parseTime(text: string | null | undefined): number | null {
  if (text === null || text === undefined || text === "") return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) || text.startsWith("0001-01-01T00:00:00Z") ? null : ms;
}

const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A Go duration (`1h30m`, `10s`) in milliseconds, or null. */
export function parseDuration(text: string): number | null {
  if (!/^(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return null;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(amount) * UNITS[unit!]!;
  return total;
}

/** The `until` filter: a Unix time (with fraction), an RFC 3339 time or date, or a duration before now. Throws INVALID. */
export function parseUntil(text: string, now: number): number {
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text) * 1000;
  const duration = parseDuration(text);
  if (duration !== null) return now - duration;
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(ms)) throw fail("INVALID", `invalid filter 'until=${text}'`);
  return ms;
}

import { fail } from "@gantry/contracts";

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** The `until` filter of prune: a Go duration before now, a Unix time, or an RFC 3339 time; milliseconds since the epoch, or null. */
export function untilMillis(values: readonly string[], now: number): number | null {
  if (values.length === 0) return null;
  if (values.length > 1) throw fail("INVALID", "more than one until filter specified");
  const value = values[0]!;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  if (/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(value)) {
    return now - [...value.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!, 0);
  }
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw fail("INVALID", `invalid filter 'until=${value}'`);
  return time;
}

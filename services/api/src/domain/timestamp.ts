import { fail } from "@gantry/contracts";

const DURATION = /^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/;
const UNIT_NANO: Readonly<Record<string, number>> = { ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/**
 * `since` and `until`: `seconds[.nanoseconds]`, RFC 3339, or a Go duration before `now`. Nanoseconds since the epoch;
 * null where it is empty. Throws INVALID.
 */
export function parseTimestamp(value: string | null, now: bigint): bigint | null {
  if (value === null || value === "") return null;
  const unix = /^(-?[0-9]{1,15})(?:\.([0-9]{1,9})[0-9]*)?$/.exec(value);
  if (unix !== null) {
    const nanos = BigInt((unix[2] ?? "").padEnd(9, "0"));
    return BigInt(unix[1]!) * 1_000_000_000n + nanos;
  }
  if (value.length <= 64 && DURATION.test(value)) {
    let total = 0;
    for (const [, number, , unit] of value.matchAll(/([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(number) * UNIT_NANO[unit!]!;
    const ago = BigInt(Math.round(total));
    return value.startsWith("-") ? now + ago : now - ago;
  }
  const date = /^[0-9]{4}-[0-9]{2}-[0-9]{2}/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(date)) throw fail("INVALID", `failed to parse value as time or duration: "${value.slice(0, 64)}"`);
  const fraction = /\.([0-9]{1,9})/.exec(value)?.[1] ?? "";
  return BigInt(Math.floor(date / 1000)) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}

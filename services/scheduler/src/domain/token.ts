import { fail } from "@gantry/contracts";

export const MAX_TOKENS = 1_000;
/** Of one token; the oldest makes room. */
export const MAX_SESSIONS = 32;
const USED_EVERY_MS = 10 * 60_000;

/** RFC 3339 in UTC with milliseconds. Throws INVALID for what is no time, or is over. */
export function expiryOf(text: string, now: number): string {
  const at = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw fail("INVALID", `"${text.slice(0, 64)}" is no time: give one as 2027-01-31T12:00:00Z`);
  if (at <= now) throw fail("INVALID", `the token would expire at ${new Date(at).toISOString()}, which is over`);
  return new Date(at).toISOString();
}

/** The time of use to record for a token used at `at`, or null where what is recorded is near enough. Never later than now. */
export function usedAt(recorded: string | null, at: string, now: number): string | null {
  const time = Math.min(Date.parse(at), now);
  if (Number.isNaN(time)) return null;
  const coarse = time - (time % USED_EVERY_MS);
  return recorded !== null && Date.parse(recorded) >= coarse ? null : new Date(coarse).toISOString();
}

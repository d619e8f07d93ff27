import { fail } from "@gantry/contracts";
import { backoffMs, describeError, isGantryError, type Clock, type GantryError } from "@gantry/kernel";
import { isConnectionFailure } from "../errors.ts";

const BACKOFF = { baseMs: 20, maxMs: 500 };

/**
 * What all that uses one database know of its being away: for `patienceMs` from its first failure on, what is safe to do again waits
 * for it; past that, and until it answers again, each attempt fails at once.
 */
export class Outage {
  readonly #clock: Clock;
  readonly #patienceMs: number;
  #since: number | null = null;

  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  /** It answered. */
  over(): void {
    this.#since = null;
  }

  /** After failed attempt `attempt`: waits a little and answers true where it is worth another one. */
  async worthAnother(error: unknown, attempt: number): Promise<boolean> {
    if (!isConnectionFailure(error)) return false;
    const now = performance.now();
    this.#since ??= now;
    if (now - this.#since > this.#patienceMs) return false;
    await this.#clock.sleep(backoffMs(attempt, Math.random, BACKOFF));
    return true;
  }
}

/** A lost connection in words for who asked; any other error as it is. */
export function unavailable(error: unknown): unknown {
  return isConnectionFailure(error) && !isGantryError(error) ? away(error) : error;
}

function away(error: unknown): GantryError {
  return fail("UNAVAILABLE", `the database is away: ${describeError(error)}: try again later`, { cause: error });
}

import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  /** Milliseconds of the first delay's ceiling; default 100. */
  readonly baseMs?: number;
  /** No delay is longer; default 30 s. */
  readonly maxMs?: number;
  /** Growth per attempt; default 2. */
  readonly factor?: number;
}

/**
 * Milliseconds to wait after failed attempt `attempt` (1 is the first): exponential, half of it fixed and half random,
 * so that clients that failed together do not come back together, and none comes back at once.
 * `random` gives [0, 1).
 */
export function backoffMs(attempt: number, random: () => number, { baseMs = 100, maxMs = 30_000, factor = 2 }: BackoffOptions = {}): number {
  const ceiling = Math.min(maxMs, baseMs * factor ** Math.min(attempt - 1, 64));
  return ceiling / 2 + random() * (ceiling / 2);
}

export interface RetryOptions extends BackoffOptions {
  readonly clock: Clock;
  /** How often the work is tried at most; default 5. */
  readonly attempts?: number;
  /** Whether a failure may pass by itself; default: every one. */
  readonly retryable?: (error: unknown) => boolean;
  /** Told before each wait. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
  /** Ends a wait, and the retrying, with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly random?: () => number;
}

/** Does the work until it succeeds; its last error goes to the caller unchanged. `attempt` is 1 at first. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, attempts = 5, retryable = () => true, onRetry, signal, random = Math.random } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || !retryable(error)) throw error;
      const delay = backoffMs(attempt, random, options);
      onRetry?.(error, attempt, delay);
      await clock.sleep(delay, signal);
    }
  }
}

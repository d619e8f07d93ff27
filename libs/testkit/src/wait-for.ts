import { setTimeout as sleep } from "node:timers/promises";

export interface WaitOptions {
  /** Milliseconds; default 10 s. */
  readonly timeout?: number;
  /** What is waited for, for the error's message. */
  readonly what?: string;
}

/**
 * Waits until the condition gives something true, and gives that. Looks often at first, then every 50 ms.
 * A condition that throws counts as not yet; its last error is the cause of the timeout's.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, { timeout = 10_000, what = "a condition" }: WaitOptions = {}): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeout;
  let cause: unknown;
  for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
    try {
      const value = await condition();
      if (value) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeout} ms for ${what}`, { cause });
    await sleep(pause);
  }
}

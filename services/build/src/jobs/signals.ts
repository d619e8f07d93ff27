import type { Clock } from "@gantry/kernel";

/** Wakes those who follow a job in this process. */
export class JobSignals {
  readonly #waiting = new Map<string, Set<() => void>>();

  notify(id: string): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const wake of waiting ?? []) wake();
  }

  /**
   * A wait that begins now: whatever is notified after this call ends it. Read, and then wait for what was begun before the
   * read, so that nothing is missed.
   */
  begin(id: string): { wait(clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<void>; [Symbol.dispose](): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    return {
      wait: async (clock, timeoutMs, signal) => {
        const stop = new AbortController();
        const timer = clock.sleep(timeoutMs, AbortSignal.any([stop.signal, signal]));
        try {
          await Promise.race([promise, timer.catch(() => {})]);
          signal.throwIfAborted();
        } finally {
          stop.abort();
        }
      },
      [Symbol.dispose]: () => {
        const set = this.#waiting.get(id);
        if (set?.delete(resolve) === true && set.size === 0) this.#waiting.delete(id);
      },
    };
  }
}

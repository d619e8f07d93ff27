import type { Clock } from "@gantry/kernel";

interface Sleeper { readonly at: number; readonly wake: () => void }

/** A clock that stands still until it is told to go on. Sleepers wake in the order of their times. */
export class FakeClock implements Clock {
  #now: number;
  #sleepers: Sleeper[] = [];

  constructor(now: number = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number { return this.#now; }
  nowNano(): bigint { return BigInt(Math.round(this.#now * 1_000)) * 1_000n; }

  /** How many sleep now. */
  get sleeping(): number { return this.#sleepers.length; }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const abort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason as Error);
      };
      const sleeper: Sleeper = { at: this.#now + ms, wake: () => { signal?.removeEventListener("abort", abort); resolve(); } };
      signal?.addEventListener("abort", abort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }

  /** Moves time on, waking who sleeps until then one after the other, each with its own time on the clock. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#sleepers.filter((sleeper) => sleeper.at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== due);
      this.#now = Math.max(this.#now, due.at);
      due.wake();
      await settle();
    }
    this.#now = until;
    await settle();
  }
}

/** Lets everything that waits for resolved promises run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

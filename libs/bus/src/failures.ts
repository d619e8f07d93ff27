/** Failed deliveries of one message, as one process saw them. */
export interface Failure {
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
}

const KEPT = 10_000;

/** Failures seen by this process, by message: brokers differ in what they count, and none says when. */
export class Failures {
  readonly #failures = new Map<string, Failure>();

  get(id: string): Failure | undefined {
    return this.#failures.get(id);
  }

  record(id: string, count: number, now: number): Failure {
    const failure = { count, firstAt: this.#failures.get(id)?.firstAt ?? now };
    this.#failures.delete(id);
    this.#failures.set(id, failure);
    if (this.#failures.size > KEPT) {
      const oldest = this.#failures.keys().next();
      if (!oldest.done) this.#failures.delete(oldest.value);
    }
    return failure;
  }

  forget(id: string): void {
    this.#failures.delete(id);
  }
}

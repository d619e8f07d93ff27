/** One holder at a time, in the order asked. */
export class Mutex {
  readonly #waiting: (() => void)[] = [];
  #held = false;

  /** True when the caller now holds it; false when someone else does. */
  tryAcquire(): boolean {
    if (this.#held) return false;
    return this.#held = true;
  }

  async acquire(): Promise<void> {
    if (this.tryAcquire()) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }
}

import type { Clock } from "@gantry/kernel";

/** How often nodes send their heartbeat, and after how long without one they count as down. Milliseconds. */
export const HEARTBEAT_MS = 5_000;
export const LEASE_MS = 3 * HEARTBEAT_MS;

/** When each node was last heard of. A node known from the database gets one lease to be heard after the scheduler's start. */
export class NodeLiveness {
  readonly #clock: Clock;
  readonly #started: number;
  readonly #heard = new Map<string, { at: number; running: number; memoryUsedBytes: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#started = clock.now();
  }

  hear(nodeId: string, load: { running: number; memoryUsedBytes: number }): void {
    this.#heard.set(nodeId, { at: this.#clock.now(), ...load });
  }

  isAlive(nodeId: string): boolean {
    return this.#clock.now() - (this.#heard.get(nodeId)?.at ?? this.#started) < LEASE_MS;
  }

  load(nodeId: string): { running: number; memoryUsedBytes: number } | null {
    return this.#heard.get(nodeId) ?? null;
  }
}

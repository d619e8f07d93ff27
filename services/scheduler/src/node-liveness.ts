import type { Clock } from "@gantry/kernel";

/** How often nodes send their heartbeat, and after how long without one they count as unreachable. Milliseconds. */
export const HEARTBEAT_MS = 2_000;
export const LEASE_MS = 3 * HEARTBEAT_MS;
/** How often `tick` is called, and a scheduler listens whether it hears itself. */
export const TICK_MS = 500;
/** How long nodes may take to be connected again after a broker that was away. */
const RECONNECT_MS = 6_000;
const DEAF_MS = 4 * TICK_MS;

export interface Load { readonly running: number; readonly memoryUsedBytes: number; readonly cpuLoad: number; readonly diskFreeBytes: number | null }

interface Heard { at: number; load: Load | null; lost: AbortController }

/**
 * When each node was last heard of. A node not heard yet has one lease from the beginning. Time in which this process itself did not
 * run (stopped, or starved), or did not hear its own echo (the broker was away), is nobody's silence.
 */
export class NodeLiveness {
  readonly #clock: Clock;
  readonly #heard = new Map<string, Heard>();
  readonly #echoes: boolean;
  /** When it was known last that this process runs and hears. */
  #ticked: number;

  /** `echoes`: `echo` is called whenever this scheduler hears itself. */
  constructor(clock: Clock, { echoes = false }: { echoes?: boolean } = {}) {
    this.#clock = clock;
    this.#echoes = echoes;
    this.#ticked = clock.now();
  }

  hear(nodeId: string, load: Load | null): void {
    this.#catchUp();
    const known = this.#heard.get(nodeId);
    const lost = known === undefined || known.lost.signal.aborted ? new AbortController() : known.lost;
    this.#heard.set(nodeId, { at: this.#clock.now(), load: load ?? known?.load ?? null, lost });
  }

  isAlive(nodeId: string): boolean {
    this.#catchUp();
    return this.#isAlive(this.#of(nodeId));
  }

  /** Aborts when the node's lease has run out. */
  lost(nodeId: string): AbortSignal {
    this.#catchUp();
    const heard = this.#of(nodeId);
    if (!this.#isAlive(heard)) heard.lost.abort();
    return heard.lost.signal;
  }

  nodes(): string[] {
    return [...this.#heard.keys()];
  }

  load(nodeId: string): Load | null {
    return this.#heard.get(nodeId)?.load ?? null;
  }

  /** When it was heard last, or began to be waited for; milliseconds since 1970. */
  heardAt(nodeId: string): number {
    return this.#of(nodeId).at;
  }

  /** Every `TICK_MS`: lets calls to nodes that went silent fail. */
  tick(): void {
    this.#catchUp();
    for (const heard of this.#heard.values()) if (!this.#isAlive(heard)) heard.lost.abort();
    if (!this.#echoes) this.#ticked = this.#clock.now();
  }

  /** This process hears itself. After a time in which it did not, nodes get some more to be heard. */
  echo(): void {
    const now = this.#clock.now();
    const deaf = now - this.#ticked > DEAF_MS;
    this.#catchUp();
    this.#ticked = now;
    if (deaf) for (const heard of this.#heard.values()) if (this.#isAlive(heard)) heard.at = Math.max(heard.at, now - LEASE_MS + RECONNECT_MS);
  }

  #isAlive(heard: Heard): boolean {
    return this.#isAliveAt(heard, this.#clock.now());
  }

  #isAliveAt(heard: Heard, time: number): boolean {
    return time - heard.at < LEASE_MS;
  }

  #of(nodeId: string): Heard {
    let heard = this.#heard.get(nodeId);
    if (heard === undefined) this.#heard.set(nodeId, heard = { at: this.#clock.now(), load: null, lost: new AbortController() });
    return heard;
  }

  #catchUp(): void {
    const late = this.#clock.now() - this.#ticked - 2 * TICK_MS;
    if (late <= 0) return;
    for (const heard of this.#heard.values()) if (this.#isAliveAt(heard, this.#ticked)) heard.at = Math.min(this.#clock.now(), heard.at + late);
    this.#ticked += late;
  }
}

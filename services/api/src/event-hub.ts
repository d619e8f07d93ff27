import { type Bus, on } from "@gantry/bus";
import { type DockerEvent, dockerEvent } from "@gantry/contracts";

export interface HubEvent { readonly seq: number; readonly event: DockerEvent }

const KEPT = 1024;

/**
 * One subscription to every Docker event for the whole API: the last {@link KEPT} for `--since`, and listeners for
 * `docker events` and waits. To miss nothing between looking and listening: take {@link EventHub.seq}, look, then
 * `follow(seq, …)`.
 */
export class EventHub implements AsyncDisposable {
  #seq = 0;
  #recent: HubEvent[] = [];
  readonly #listeners = new Set<(event: DockerEvent) => void>();
  #subscription: AsyncDisposable | null = null;

  static async open(bus: Pick<Bus, "subscribe">): Promise<EventHub> {
    const hub = new EventHub();
    hub.#subscription = await bus.subscribe([on(dockerEvent, async (event) => { hub.#take(event); return event; })]);
    return hub;
  }

  get seq(): number {
    return this.#seq;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Calls `listener` for the kept events after `seq`, then for each new one, in order. Returns how to stop. */
  follow(seq: number, listener: (event: DockerEvent) => void): () => void {
    for (const { event } of this.#recent.filter((row) => row.seq > seq)) listener(event);
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  #take(event: DockerEvent): void {
    this.#recent.push({ seq: ++this.#seq, event });
    if (this.#recent.length > 2 * KEPT) this.#recent = this.#recent.slice(-KEPT);
    for (const listener of this.#listeners) listener(event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await this.#subscription?.[Symbol.asyncDispose]();
  }
}

import type { LiveEvents } from "./rows.ts";
import { applyEvent, EMPTY, type Connection, type LiveState } from "./state.ts";

const KINDS = ["snapshot", "nodes", "containers", "builds"] as const satisfies readonly (keyof LiveEvents)[];
const RETRY_MS = 1_000;

/** Follows `GET /v1/live` for as long as the page lives, and tells `listener` of each new state. The stream begins with a snapshot, so a reconnect misses nothing. */
export class Live {
  #state: LiveState = EMPTY;
  readonly #listeners = new Set<() => void>();
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
    this.#open();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  };

  readonly state = (): LiveState => this.#state;

  #open(): void {
    const source = new EventSource(this.#url);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.#become(applyEvent(this.#state, kind, JSON.parse((event as MessageEvent<string>).data))));
    }
    source.addEventListener("error", () => {
      source.close();
      void this.#lost();
    });
  }

  /** EventSource does not say why it failed: a plain request does. */
  async #lost(): Promise<void> {
    const status = await fetch(this.#url, { method: "HEAD" }).then((r) => r.status, () => 0);
    const connection: Connection = status === 401 || status === 403 ? "refused" : "lost";
    this.#become({ ...this.#state, connection });
    setTimeout(() => this.#open(), RETRY_MS);
  }

  #become(state: LiveState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

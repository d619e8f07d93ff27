import { type Bus, on } from "@gantry/bus";
import { buildProgress, type BuildRow, type ContainerRow, type NodeRow } from "@gantry/contracts";
import type { Clock, Logger } from "@gantry/kernel";
import type { EventHub } from "../event-hub.ts";
import { Turns } from "./turns.ts";

/** One event of `GET /v1/live`. */
export type LiveEvent =
  | { readonly kind: "snapshot"; readonly data: { nodes: readonly NodeRow[]; containers: readonly ContainerRow[]; builds: readonly BuildRow[] } }
  | { readonly kind: "nodes"; readonly data: readonly NodeRow[] }
  | { readonly kind: "containers"; readonly data: { changed: readonly ContainerRow[]; removed: readonly string[] } }
  | { readonly kind: "builds"; readonly data: readonly BuildRow[] };

/** Where rows come from. */
export interface LiveSource {
  nodes(): Promise<readonly NodeRow[]>;
  /** Those of `ids` that exist; null: the newest of all. */
  containers(ids: readonly string[] | null): Promise<readonly ContainerRow[]>;
  /** As above. */
  builds(ids: readonly string[] | null): Promise<readonly BuildRow[]>;
}

type Listener = (event: LiveEvent) => void;

/** Changes within this time are told together. */
const GATHER_MS = 50;
/** Load of nodes is not told by events. */
const NODES_MS = 2_000;

/**
 * What dashboards show, once for all of them: rows are fetched when an event tells that they changed, and sent whole. Fetching
 * and telling happen one after the other, so that no listener sees a row go back. Nothing is followed while nobody listens.
 */
export class LiveHub implements AsyncDisposable {
  readonly #source: LiveSource;
  readonly #bus: Pick<Bus, "subscribe">;
  readonly #events: EventHub;
  readonly #clock: Clock;
  readonly #turns: Turns;
  readonly #listeners = new Set<Listener>();
  readonly #newcomers = new Set<Listener>();
  readonly #containers = new Set<string>();
  readonly #builds = new Set<string>();
  #nodesAsked = false;
  #nodesTold = "";
  #following: AsyncDisposableStack | null = null;

  constructor(options: { source: LiveSource; bus: Pick<Bus, "subscribe">; events: EventHub; clock: Clock; logger: Logger }) {
    this.#source = options.source;
    this.#bus = options.bus;
    this.#events = options.events;
    this.#clock = options.clock;
    this.#turns = new Turns({ turn: () => this.#turn(), gatherMs: GATHER_MS, clock: options.clock, logger: options.logger });
  }

  /** Tells `listener` a snapshot, then every change. Answers how to stop. */
  listen(listener: Listener): () => void {
    this.#newcomers.add(listener);
    this.#turns.ask();
    return () => {
      this.#newcomers.delete(listener);
      this.#listeners.delete(listener);
      if (this.#newcomers.size + this.#listeners.size === 0) this.#turns.ask();
    };
  }

  async #turn(): Promise<void> {
    if (this.#newcomers.size + this.#listeners.size === 0) return this.#unfollow();
    if (this.#following === null) await this.#follow();
    await this.#tellContainers();
    await this.#tellBuilds();
    await this.#tellNodes();
    await this.#welcome();
  }

  async #follow(): Promise<void> {
    const following = new AsyncDisposableStack();
    following.defer(this.#events.follow(this.#events.seq, ({ Type, Actor }) => {
      if (Type === "container") this.#containers.add(Actor.ID);
      else if (Type === "node") this.#nodesAsked = true;
      else return;
      this.#turns.ask();
    }));
    try {
      following.use(await this.#bus.subscribe([on(buildProgress, async (event) => {
        this.#builds.add(event.id);
        this.#turns.ask();
        return event;
      })]));
    } catch (error) {
      await following.disposeAsync();
      throw error;
    }
    const over = new AbortController();
    const polling = this.#pollNodes(over.signal);
    following.defer(async () => { over.abort(); await polling; });
    this.#following = following;
  }

  async #pollNodes(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(NODES_MS, signal).catch(() => {});
      this.#nodesAsked = true;
      this.#turns.ask();
    }
  }

  async #unfollow(): Promise<void> {
    const following = this.#following;
    this.#following = null;
    await following?.disposeAsync();
    this.#containers.clear();
    this.#builds.clear();
  }

  async #tellContainers(): Promise<void> {
    const ids = [...this.#containers].slice(0, 1000);
    if (ids.length === 0) return;
    for (const id of ids) this.#containers.delete(id);
    try {
      const changed = await this.#source.containers(ids);
      const there = new Set(changed.map((row) => row.id));
      this.#tell({ kind: "containers", data: { changed, removed: ids.filter((id) => !there.has(id)) } });
    } catch (error) {
      for (const id of ids) this.#containers.add(id);
      throw error;
    }
    if (this.#containers.size > 0) this.#turns.ask();
  }

  async #tellBuilds(): Promise<void> {
    const ids = [...this.#builds].slice(0, 100);
    if (ids.length === 0) return;
    for (const id of ids) this.#builds.delete(id);
    try {
      this.#tell({ kind: "builds", data: await this.#source.builds(ids) });
    } catch (error) {
      for (const id of ids) this.#builds.add(id);
      throw error;
    }
    if (this.#builds.size > 0) this.#turns.ask();
  }

  async #tellNodes(): Promise<void> {
    if (!this.#nodesAsked) return;
    const nodes = await this.#source.nodes();
    this.#nodesAsked = false;
    const text = JSON.stringify(nodes);
    if (text === this.#nodesTold) return;
    this.#nodesTold = text;
    this.#tell({ kind: "nodes", data: nodes });
  }

  async #welcome(): Promise<void> {
    if (this.#newcomers.size === 0) return;
    const newcomers = [...this.#newcomers];
    const [nodes, containers, builds] = await Promise.all([this.#source.nodes(), this.#source.containers(null), this.#source.builds(null)]);
    for (const listener of newcomers) {
      // Some may have left meanwhile.
      if (!this.#newcomers.delete(listener)) continue;
      this.#listeners.add(listener);
      listener({ kind: "snapshot", data: { nodes, containers, builds } });
    }
  }

  #tell(event: LiveEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns[Symbol.asyncDispose]();
    await this.#unfollow();
    this.#listeners.clear();
    this.#newcomers.clear();
  }
}

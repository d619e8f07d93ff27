import type { BuildRow, ContainerRow, LiveEvents, NodeRow } from "./rows.ts";

/** `connecting`: never heard yet; `lost`: shown rows are those of the last time; `refused`: the token is not valid any more. */
export type Connection = "connecting" | "live" | "lost" | "refused";

export interface LiveState {
  readonly connection: Connection;
  readonly nodes: readonly NodeRow[];
  /** Newest first. */
  readonly containers: readonly ContainerRow[];
  /** Newest first, the latest {@link KEPT_BUILDS}. */
  readonly builds: readonly BuildRow[];
}

export const EMPTY: LiveState = { connection: "connecting", nodes: [], containers: [], builds: [] };

const KEPT_BUILDS = 100;

/** `rows` with those of the same ID replaced by `changed` and the new ones put in, newest first. */
function merged<R extends { readonly id: string; readonly created: number }>(rows: readonly R[], changed: readonly R[], removed: readonly string[] = []): R[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const row of changed) byId.set(row.id, row);
  for (const id of removed) byId.delete(id);
  return [...byId.values()].sort((a, b) => b.created - a.created || (a.id < b.id ? -1 : 1));
}

const byName = (nodes: readonly NodeRow[]) => [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));

/** The state after one event of the stream. */
export function applyEvent<K extends keyof LiveEvents>(state: LiveState, kind: K, data: LiveEvents[K]): LiveState {
  const events: { [E in keyof LiveEvents]: (data: LiveEvents[E]) => LiveState } = {
    snapshot: ({ nodes, containers, builds }) => ({ connection: "live", nodes: byName(nodes), containers: merged([], containers), builds: merged([], builds).slice(0, KEPT_BUILDS) }),
    nodes: (nodes) => ({ ...state, nodes: byName(nodes) }),
    containers: ({ changed, removed }) => ({ ...state, containers: merged(state.containers, changed, removed) }),
    builds: (builds) => ({ ...state, builds: merged(state.builds, builds).slice(0, KEPT_BUILDS) }),
  };
  return events[kind](data);
}

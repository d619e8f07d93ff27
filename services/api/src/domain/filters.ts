import { fail } from "@gantry/contracts";
import { isRecord } from "./query.ts";

export type FilterMap = Record<string, string[]>;

const MAX_BYTES = 256 * 1024;

/** The filter names that Docker takes, by list. */
export const FILTERS = {
  containers: ["ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name", "network", "publish", "since", "status", "volume"],
  images: ["before", "dangling", "label", "label!", "reference", "since", "until"],
  networks: ["dangling", "driver", "id", "label", "name", "scope", "type"],
  volumes: ["dangling", "driver", "label", "name"],
  events: ["config", "container", "daemon", "event", "id", "image", "label", "network", "node", "plugin", "scope", "secret", "service", "type", "volume"],
  containersPrune: ["label", "label!", "until"],
  imagesPrune: ["dangling", "label", "label!", "until"],
  networksPrune: ["label", "label!", "until"],
  volumesPrune: ["all", "label", "label!"],
  buildPrune: ["all", "id", "parent", "type", "description", "inuse", "shared", "private", "until", "unused-for", "label", "label!"],
} as const;

/**
 * The `filters` parameter in both of Docker's forms, `{"label":["a"]}` and `{"label":{"a":true}}`.
 * Throws INVALID for anything else and for a name that is not in `known`.
 */
export function parseFilters(value: string | null, known: readonly string[]): FilterMap {
  if (value === null || value === "") return {};
  if (value.length > MAX_BYTES) throw fail("INVALID", "invalid filter: too long");
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch (cause) {
    throw fail("INVALID", "invalid filter", { cause });
  }
  if (parsed === null) return {};
  if (!isRecord(parsed)) throw fail("INVALID", "invalid filter");
  const filters: FilterMap = {};
  for (const [name, values] of Object.entries(parsed)) {
    if (!known.includes(name)) throw fail("INVALID", `invalid filter '${name.slice(0, 64)}'`);
    const list = Array.isArray(values) ? values : isRecord(values) ? Object.keys(values) : null;
    if (list === null || !list.every((v) => typeof v === "string")) throw fail("INVALID", `invalid filter '${name}'`);
    filters[name] = list;
  }
  return filters;
}

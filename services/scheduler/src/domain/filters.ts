import { fail } from "@gantry/contracts";
import { compareTimes } from "./time.ts";
import { mountRows } from "./inspect.ts";
import { healthOf, type ContainerRecord } from "./record.ts";

export type Filters = Readonly<Record<string, readonly string[]>>;

const CONTAINER_FILTERS = new Set(["ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "label!", "name", "network",
  "publish", "since", "status", "volume"]);
const STATUSES = new Set(["created", "restarting", "running", "removing", "paused", "exited", "dead"]);
const HEALTHS = new Set(["starting", "healthy", "unhealthy", "none"]);

/** What the filters refer to, looked up beforehand. */
export interface FilterContext {
  /** Values of `ancestor` as image IDs: each image itself and those built on it. */
  readonly ancestors: ReadonlySet<string>;
  readonly before: ContainerRecord | null;
  readonly since: ContainerRecord | null;
  /** Values of `network` as network IDs. */
  readonly networks: ReadonlySet<string>;
}

export function checkFilters(filters: Filters, known: ReadonlySet<string>): void {
  for (const name of Object.keys(filters)) if (!known.has(name)) throw fail("INVALID", `invalid filter '${name}'`);
}

export function checkContainerFilters(filters: Filters): void {
  checkFilters(filters, CONTAINER_FILTERS);
  for (const value of filters["status"] ?? []) if (!STATUSES.has(value)) throw fail("INVALID", `invalid filter 'status=${value}'`);
  for (const value of filters["health"] ?? []) if (!HEALTHS.has(value)) throw fail("INVALID", `invalid filter 'health=${value}'`);
  for (const value of filters["exited"] ?? []) if (!/^-?\d+$/.test(value)) throw fail("INVALID", `invalid filter 'exited=${value}'`);
}

/** Docker's label filter: every value must hold; `key` or `key=value`. */
export function matchesLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((entry) => {
    const at = entry.indexOf("=");
    const key = at < 0 ? entry : entry.slice(0, at);
    return Object.hasOwn(labels, key) && (at < 0 || labels[key] === entry.slice(at + 1));
  });
}

/** A value is a regular expression, as Docker's name and ID filters are; one that is none, or is too long, is plain text. */
export function matchesPattern(text: string, values: readonly string[]): boolean {
  return values.some((value) => {
    if (value.length > 128) return text.includes(value);
    try { return new RegExp(value).test(text); } catch { return text.includes(value); }
  });
}

function portMatches(ports: readonly string[], wanted: readonly string[]): boolean {
  return wanted.some((entry) => {
    const match = /^(\d+)(?:-(\d+))?(?:\/(\w+))?$/.exec(entry);
    if (!match) throw fail("INVALID", `invalid port specification: "${entry}"`);
    return ports.some((port) => {
      const [number, protocol] = port.split("/");
      return Number(number) >= Number(match[1]) && Number(number) <= Number(match[2] ?? match[1]) && protocol === (match[3] ?? "tcp");
    });
  });
}

/** One row against all filters: within a name any value will do (labels: all), between names all must hold. */
export function matchesContainer(record: ContainerRecord, filters: Filters, context: FilterContext): boolean {
  const { state, spec } = record;
  const any = (name: string, test: (values: readonly string[]) => boolean) => filters[name] === undefined || filters[name].length === 0 || test(filters[name]);
  return any("id", (values) => values.some((v) => record.id.startsWith(v)) || matchesPattern(record.id, values))
    && any("name", (values) => matchesPattern(`/${record.name}`, values) || matchesPattern(record.name, values))
    && any("status", (values) => values.includes(state.status))
    && any("exited", (values) => state.status === "exited" && values.includes(String(state.exitCode)))
    && any("health", (values) => values.includes(healthOf(record) ?? "none"))
    && any("label", (values) => matchesLabels(spec.config.Labels, values))
    && any("label!", (values) => values.every((v) => !matchesLabels(spec.config.Labels, [v])))
    && any("ancestor", () => context.ancestors.has(record.imageId))
    && any("network", () => spec.networks.some((n) => context.networks.has(n.id)))
    && any("volume", (values) => mountRows(record).some((m) => values.includes(String(m["Name"] ?? "")) || values.includes(String(m["Destination"] ?? "")) || values.includes(String(m["Source"] ?? ""))))
    && any("publish", (values) => portMatches(Object.keys(spec.hostConfig.PortBindings), values))
    && any("expose", (values) => portMatches(Object.keys(spec.config.ExposedPorts), values))
    && any("is-task", (values) => values.some((v) => v === "false" || v === "0"))
    && (context.before === null || compareTimes(record.created, context.before.created) < 0)
    && (context.since === null || compareTimes(record.created, context.since.created) > 0);
}

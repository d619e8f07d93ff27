import assert from "node:assert/strict";
import { parsePrometheusText, type MetricFamily } from "@gantry/testkit";
import { metric, prometheusLabel, prometheusName, type MetricDefinition } from "@gantry/telemetry/metrics";
import { requestSocket } from "./http.ts";

export type Families = ReadonlyMap<string, MetricFamily>;

/** What a process serves at `/metrics` on a unix socket, well-formed. */
export async function metricsOf(socketPath: string): Promise<Families> {
  const { status, headers, body } = await requestSocket(socketPath, "GET", "/metrics");
  assert.equal(status, 200, body);
  assert.match(String(headers["content-type"]), /^text\/plain; version=0\.0\.4/);
  return parsePrometheusText(body);
}

/** The samples of that name that have these labels, added up. */
export function sum(families: Families, sample: string, labels: Readonly<Record<string, string>> = {}): number {
  return [...families.values()].flatMap(({ samples }) => samples)
    .filter(({ name, labels: has }) => name === sample && Object.entries(labels).every(([key, value]) => has[key] === value))
    .reduce((total, { value }) => total + value, 0);
}

/** Families that are not about the series but the process. */
const ABOUT = new Set(["target_info"]);

/** Every family is one of the catalogue's, with the labels it has there and values that are few: no IDs. */
export function checkAgainstCatalogue(families: Families): void {
  const known = new Map(Object.values<MetricDefinition>(metric).map((definition) => [definition.kind.includes("counter") ? `${prometheusName(definition.name, definition.unit)}_total` : prometheusName(definition.name, definition.unit), definition]));
  for (const { name: family, type, help, samples } of families.values()) {
    if (ABOUT.has(family)) continue;
    const definition = known.get(family);
    assert.ok(definition !== undefined, `${family} is not in the catalogue`);
    assert.equal(type, definition.kind === "observed counter" ? "counter" : definition.kind, family);
    assert.equal(help, definition.description, family);
    const labelled = new Map(Object.entries(definition.labels).map(([label, values]) => [prometheusLabel(label), values]));
    for (const { labels } of samples) {
      for (const [label, value] of Object.entries(labels)) {
        if (type === "histogram" && label === "le") continue;
        const values = labelled.get(label);
        assert.ok(values !== undefined, `${family} has no label ${label} in the catalogue`);
        if (typeof values === "string") assert.doesNotMatch(value, /[0-9a-f]{12}/, `${family}{${label}}`);
        else assert.ok(values.includes(value), `${family}{${label}="${value}"}`);
      }
    }
  }
}

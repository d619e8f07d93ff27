import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { metric, prometheusLabel, seriesNames, type MetricDefinition } from "../libs/telemetry/src/metrics/index.ts";
import { metricsDocument } from "../libs/telemetry/src/metrics/document.ts";

const read = (file: string) => readFileSync(join(import.meta.dirname, file), "utf8");
const series = new Map(Object.values<MetricDefinition>(metric).flatMap((definition) => seriesNames(definition).map((name) => [name, definition] as const)));
/** Words of PromQL, and labels and series that Prometheus and scraping add. */
const OTHERS = new Set(["sum", "max", "by", "rate", "increase", "changes", "topk", "histogram_quantile", "vector", "and", "or", "up", "le", "job", "instance"]);

test("docs/metrics.md is what the catalogue says", () => {
  assert.equal(read("../docs/metrics.md"), metricsDocument(), "run node libs/telemetry/src/metrics/update-document.ts");
});

/** Every series of a query is in the catalogue, and so is each of the labels it is selected or grouped by, with its values. */
function checkQuery(query: string): void {
  const selectors = [...query.matchAll(/([a-z_]+[a-z0-9_]*)\{([^}]*)\}/g)];
  const grouped = [...query.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(",").map((label) => label.trim()));
  const names = [...query.replaceAll(/\{[^}]*\}|\bby \([^)]*\)|\[[^\]]*\]|"[^"]*"/g, " ").matchAll(/[a-z_][a-z0-9_]*/gi)].map(([name]) => name).filter((name) => !OTHERS.has(name));
  const used = names.map((name) => {
    const definition = series.get(name);
    assert.ok(definition !== undefined, `${name} is not in the catalogue: ${query}`);
    return definition;
  });
  const labelsOf = (definitions: readonly MetricDefinition[]) => new Map(definitions.flatMap(({ labels }) => Object.entries(labels).map(([label, values]) => [prometheusLabel(label), values] as const)));
  for (const label of grouped) assert.ok(OTHERS.has(label) || labelsOf(used).has(label), `no series has the label ${label}: ${query}`);
  for (const [, name, matchers] of selectors) {
    const definition = series.get(name!);
    for (const [, label, operator, value] of matchers!.matchAll(/([a-z_]+)(=~|!=|!~|=)"([^"]*)"/g)) {
      if (OTHERS.has(label!)) continue;
      const values = labelsOf(definition === undefined ? [] : [definition]).get(label!);
      assert.ok(values !== undefined, `${name} has no label ${label}: ${query}`);
      if (operator === "=" && typeof values !== "string") assert.ok(values.includes(value!), `${label} is never ${value}: ${query}`);
    }
  }
}

test("alert rules ask for series that there are", () => {
  const queries = [...read("prometheus/gantry.rules.yml").matchAll(/^\s+expr: (.+)$/gm)].map(([, query]) => query!);
  assert.ok(queries.length > 10);
  for (const query of queries) checkQuery(query);
});

test("the dashboard asks for series that there are", () => {
  const { panels, annotations } = JSON.parse(read("grafana/gantry.json")) as { panels: { id: number; title: string; targets?: { expr: string }[] }[]; annotations: { list: { expr: string }[] } };
  const queries = [...panels.flatMap(({ targets = [] }) => targets), ...annotations.list].map(({ expr }) => expr);
  assert.ok(queries.length > 30);
  for (const query of queries) checkQuery(query);
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
});

test("every metric of Gantry's own is on the dashboard or in a rule", () => {
  const all = `${read("prometheus/gantry.rules.yml")}${read("grafana/gantry.json")}`;
  assert.deepEqual(Object.values<MetricDefinition>(metric).filter(({ name }) => name.startsWith("gantry.")).filter((definition) => !seriesNames(definition).some((name) => all.includes(name))).map(({ name }) => name), []);
});

test("the collector scrapes each service where its configuration has it listen", () => {
  const collector = read("otel/collector.yaml");
  for (const service of ["api", "image-store", "scheduler", "build", "node-agent"]) {
    const [, address] = /^#?GANTRY_METRICS_LISTEN=(.+)$/m.exec(read(`etc/${service}.env`)) ?? [];
    assert.ok(address !== undefined, service);
    assert.match(collector, new RegExp(`job_name: gantry-${service}\\n.*\\n.*targets: \\["${address}"\\]`), service);
  }
});

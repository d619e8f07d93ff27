import { metric } from "./catalogue.ts";
import { prometheusLabel, prometheusName, seriesNames, type MetricDefinition } from "./definition.ts";

const GROUPS: readonly (readonly [title: string, prefixes: readonly string[]])[] = [
  ["Requests and messages", ["http.", "messaging.", "gantry.bus.", "gantry.outbox."]],
  ["Builds", ["gantry.build"]],
  ["Scheduler", ["gantry.scheduler."]],
  ["Nodes: containers and layers", ["gantry.container", "gantry.layers."]],
  ["Images", ["gantry.image_store.", "gantry.digest_cache."]],
  ["Processes", ["process.", "v8js.", "nodejs."]],
];

const HEAD = `# Metrics

Made from libs/telemetry/src/metrics/catalogue.ts by \`node libs/telemetry/src/metrics/update-document.ts\`; do not edit.

Every service shows them in Prometheus' text format: api, image-store, build and node-agent at \`/metrics\` of their own addresses, each process at \`GANTRY_METRICS_LISTEN\` too (a unix socket, or a port of loopback), and \`npm start\` all of them at the API's \`/metrics\`. With \`OTEL_EXPORTER_OTLP_ENDPOINT\` they are also sent, under OpenTelemetry's names. Units are base units; counters end in \`_total\`, histograms have \`_bucket\`, \`_sum\` and \`_count\`. No label holds an ID, so there are at most some hundred series of each. \`target_info\` says which process it is.
`;

/** The catalogue for readers, in Markdown. */
export function metricsDocument(): string {
  const all = Object.values<MetricDefinition>(metric);
  const parts = GROUPS.map(([title, prefixes]) => section(title, all.filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)))));
  const told = all.filter(({ name }) => GROUPS.some(([, prefixes]) => prefixes.some((prefix) => name.startsWith(prefix))));
  if (told.length !== all.length) throw new Error(`in no group: ${all.filter((one) => !told.includes(one)).map(({ name }) => name).join(", ")}`);
  return [HEAD, ...parts].join("\n");
}

function section(title: string, metrics: readonly MetricDefinition[]): string {
  const rows = metrics.map((one) => {
    const name = one.kind === "histogram" ? prometheusName(one.name, one.unit) : seriesNames(one)[0]!;
    return `| \`${name}\` | \`${one.name}\` | ${one.kind === "observed counter" ? "counter" : one.kind} | ${cell(one.description)} | ${labels(one)} |`;
  });
  return `## ${title}\n\n| Prometheus | OpenTelemetry | kind | what | labels |\n| --- | --- | --- | --- | --- |\n${rows.join("\n")}\n`;
}

function labels({ labels: all }: MetricDefinition): string {
  return Object.entries(all).map(([label, values]) => `\`${prometheusLabel(label)}\`: ${cell(typeof values === "string" ? values : values.join(", "))}`).join("<br>");
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

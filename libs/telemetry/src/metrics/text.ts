import { prometheusLabel, prometheusName } from "./definition.ts";
import type { Reading } from "./instruments.ts";
import type { LabelSet, Series } from "./series.ts";

/** Prometheus' text format 0.0.4 (prometheus.io, exposition formats). `about`: what the process is, as labels of `target_info`. */
export function prometheusText(about: LabelSet, readings: readonly Reading[]): string {
  const families = [family("target_info", "gauge", "What this process is", [`target_info${labelled(about)} 1`])];
  for (const { definition, series } of readings) {
    const base = prometheusName(definition.name, definition.unit);
    if (definition.kind === "histogram") families.push(family(base, "histogram", definition.description, series.flatMap((one) => histogram(base, definition.buckets ?? [], one))));
    else if (definition.kind === "gauge") families.push(family(base, "gauge", definition.description, series.map(({ labels, sum }) => `${base}${labelled(labels)} ${number(sum)}`)));
    else families.push(family(`${base}_total`, "counter", definition.description, series.map(({ labels, sum }) => `${base}_total${labelled(labels)} ${number(sum)}`)));
  }
  return families.join("");
}

function family(name: string, type: string, help: string, lines: readonly string[]): string {
  return `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}

function histogram(name: string, bounds: readonly number[], { labels, buckets, count, sum }: Series): string[] {
  let below = 0;
  return [
    ...buckets.map((some, i) => `${name}_bucket${labelled(labels, i < bounds.length ? number(bounds[i]!) : "+Inf")} ${below += some}`),
    `${name}_sum${labelled(labels)} ${number(sum)}`, `${name}_count${labelled(labels)} ${count}`,
  ];
}

function labelled(labels: LabelSet, le?: string): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== undefined).map(([name, value]) => `${prometheusLabel(name)}="${escape(value!)}"`);
  if (le !== undefined) pairs.push(`le="${le}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escape = (value: string): string => value.replaceAll("\\", "\\\\").replaceAll("\"", "\\\"").replaceAll("\n", "\\n");

function number(value: number): string {
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

/** What values a label takes: all of them, or words that say why they are few. Never an ID. */
export type Labels = Readonly<Record<string, readonly string[] | string>>;

/** One value for each label; a label without a list of values may be left out. */
export type LabelValues<L extends Labels> =
  & { readonly [K in keyof L as L[K] extends readonly string[] ? K : never]: L[K] extends readonly (infer V)[] ? V : never }
  & { readonly [K in keyof L as L[K] extends readonly string[] ? never : K]?: string };

export type MetricKind = "counter" | "histogram" | "gauge" | "observed counter";

export interface MetricDefinition<K extends MetricKind = MetricKind, L extends Labels = Labels> {
  readonly kind: K;
  /** OpenTelemetry's form, with dots. */
  readonly name: string;
  /** UCUM, as OpenTelemetry has it: `s`, `By`, `{build}`; `1` for a fraction. */
  readonly unit: string;
  readonly description: string;
  readonly labels: L;
  /** Upper bounds of a histogram's buckets, ascending. */
  readonly buckets?: readonly number[];
}

/** Unit words of Prometheus; a unit in braces has none. */
const UNIT_WORDS: Readonly<Record<string, string>> = { s: "seconds", By: "bytes", "1": "ratio" };

export function unitWord(unit: string): string {
  return UNIT_WORDS[unit] ?? "";
}

/** `http.server.request.duration` in `s` is `http_server_request_duration_seconds` (OpenTelemetry's rules for Prometheus), without `_total`. */
export function prometheusName(name: string, unit: string): string {
  const base = name.replace(/[^a-zA-Z0-9_]+/g, "_");
  const word = unitWord(unit);
  return word === "" || base.endsWith(`_${word}`) ? base : `${base}_${word}`;
}

export function prometheusLabel(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]+/g, "_");
}

/** The names of a metric's series, as queries and dashboards have them. */
export function seriesNames(definition: MetricDefinition): string[] {
  const name = prometheusName(definition.name, definition.unit);
  if (definition.kind === "histogram") return ["bucket", "sum", "count"].map((part) => `${name}_${part}`);
  return [definition.kind === "gauge" ? name : `${name}_total`];
}

import type { MetricDefinition } from "./definition.ts";

export type LabelSet = Readonly<Record<string, string | undefined>>;

/** One combination of labels with what was measured under it since the process began. */
export interface Series {
  readonly labels: LabelSet;
  /** A counter's total; of a histogram, the sum of what was recorded. */
  sum: number;
  /** How often a histogram recorded; per bucket, the last one without an upper bound. */
  count: number;
  readonly buckets: number[];
}

/** More combinations than any metric should have; what comes beyond is added up under one label, as OpenTelemetry has it. */
export const MAX_SERIES = 2_000;
export const OVERFLOW: LabelSet = { "otel.metric.overflow": "true" };

/** The series of one counter or histogram. */
export class SeriesSet {
  readonly #names: readonly string[];
  readonly #bounds: readonly number[];
  readonly #byKey = new Map<string, Series>();

  constructor({ labels, buckets = [] }: MetricDefinition) {
    this.#names = Object.keys(labels);
    this.#bounds = buckets;
  }

  add(value: number, labels: LabelSet): void {
    this.#find(labels).sum += value;
  }

  record(value: number, labels: LabelSet): void {
    const series = this.#find(labels);
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++;
    series.buckets[bucket]!++;
    series.count++;
    series.sum += value;
  }

  values(): Iterable<Series> {
    return this.#byKey.values();
  }

  #find(labels: LabelSet): Series {
    let key = "";
    for (const name of this.#names) key += `${labels[name] ?? ""}\0`;
    return this.#byKey.get(key) ?? this.#make(key, labels);
  }

  #make(key: string, labels: LabelSet): Series {
    if (this.#byKey.size >= MAX_SERIES) {
      const rest = this.#byKey.get("");
      if (rest !== undefined) return rest;
      [key, labels] = ["", OVERFLOW];
    }
    const series: Series = { labels: { ...labels }, sum: 0, count: 0, buckets: Array.from({ length: this.#bounds.length + 1 }, () => 0) };
    this.#byKey.set(key, series);
    return series;
  }
}

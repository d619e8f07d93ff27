import type { Meter, Observable, ObservableResult } from "@opentelemetry/api";
import type { Labels, LabelValues, MetricDefinition } from "./definition.ts";
import { SeriesSet, type LabelSet, type Series } from "./series.ts";

/*
 * Measurements are added up here, without an SDK, in well under a microsecond. Where metrics are exported, each also goes to the
 * SDK's meter; what comes before that is loaded waits in a bounded list.
 */
const PENDING = 5_000;

class Instrument {
  readonly definition: MetricDefinition;
  readonly series: SeriesSet;
  readonly #histogram: boolean;
  #forward: ((value: number, labels: LabelSet) => void) | null = null;

  constructor(definition: MetricDefinition) {
    this.definition = definition;
    this.series = new SeriesSet(definition);
    this.#histogram = definition.kind === "histogram";
  }

  take(value: number, labels: LabelSet): void {
    if (this.#histogram) this.series.record(value, labels);
    else this.series.add(value, labels);
    if (this.#forward !== null) this.#forward(value, labels);
    else if (pending !== null && pending.length < PENDING) pending.push({ to: this, value, labels });
  }

  attach(meter: Meter): void {
    const { name, unit, description, buckets } = this.definition;
    if (this.#histogram) {
      const real = meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: [...(buckets ?? [])] } });
      this.#forward = (value, labels) => real.record(value, labels);
    } else {
      const real = meter.createCounter(name, { unit, description });
      this.#forward = (value, labels) => real.add(value, labels);
    }
  }

  replay(value: number, labels: LabelSet): void {
    this.#forward?.(value, labels);
  }
}

type Read = (observed: (value: number, labels: LabelSet) => void) => void | Promise<void>;
interface Observer { readonly definition: MetricDefinition; readonly read: Read; detach: (() => void) | null }

const instruments = new Map<string, Instrument>();
const observers = new Set<Observer>();
let exported: Meter | null = null;
let pending: { to: Instrument; value: number; labels: LabelSet }[] | null = null;

/** A meter will be attached: the first measurements are kept for it. */
export function expectMeter(): void {
  pending ??= exported === null ? [] : null;
}

/** Where all measurements go too from now on, those kept included. */
export function attachMeter(meter: Meter): void {
  exported = meter;
  for (const instrument of instruments.values()) instrument.attach(meter);
  for (const observer of observers) attachObserver(observer, meter);
  const kept = pending ?? [];
  pending = null;
  for (const { to, value, labels } of kept) to.replay(value, labels);
}

function instrument(definition: MetricDefinition): Instrument {
  let made = instruments.get(definition.name);
  if (made !== undefined) return made;
  instruments.set(definition.name, made = new Instrument(definition));
  if (exported !== null) made.attach(exported);
  return made;
}

/** Something that is counted. */
export function counter<L extends Labels>(definition: MetricDefinition<"counter", L>): { add(value: number, labels: LabelValues<L>): void } {
  const made = instrument(definition);
  return { add: (value, labels) => made.take(value, labels as LabelSet) };
}

/** Durations, in seconds. */
export function histogram<L extends Labels>(definition: MetricDefinition<"histogram", L>): { record(value: number, labels: LabelValues<L>): void } {
  const made = instrument(definition);
  return { record: (value, labels) => made.take(value, labels as LabelSet) };
}

/** Reads a value each time somebody collects, until it is disposed. A failure leaves the value out. */
export function observe<L extends Labels>(
  definition: MetricDefinition<"gauge" | "observed counter", L>,
  read: (observed: (value: number, labels: LabelValues<L>) => void) => void | Promise<void>,
): Disposable {
  const observer: Observer = { definition, read: read as Read, detach: null };
  observers.add(observer);
  if (exported !== null) attachObserver(observer, exported);
  return {
    [Symbol.dispose]() {
      observers.delete(observer);
      observer.detach?.();
    },
  };
}

function attachObserver(observer: Observer, meter: Meter): void {
  const { definition: { kind, name, unit, description }, read } = observer;
  const real: Observable = kind === "gauge" ? meter.createObservableGauge(name, { unit, description }) : meter.createObservableCounter(name, { unit, description });
  const callback = (result: ObservableResult) => read((value, labels) => result.observe(value, labels));
  real.addCallback(callback);
  observer.detach = () => real.removeCallback(callback);
}

/** What a metric stands at. */
export interface Reading {
  readonly definition: MetricDefinition;
  readonly series: readonly Readonly<Series>[];
}

/** All metrics that have a value, by name; and what could not be read. */
export async function readAll(): Promise<{ readonly readings: readonly Reading[]; readonly errors: readonly unknown[] }> {
  const observed = new Map<string, { definition: MetricDefinition; set: SeriesSet }>();
  const errors: unknown[] = [];
  await Promise.all([...observers].map(async ({ definition, read }) => {
    const values: [number, LabelSet][] = [];
    try {
      await read((value, labels) => values.push([value, labels]));
    } catch (error) {
      return void errors.push(error);
    }
    let entry = observed.get(definition.name);
    if (entry === undefined) observed.set(definition.name, entry = { definition, set: new SeriesSet(definition) });
    for (const [value, labels] of values) entry.set.add(value, labels);
  }));
  const readings = [
    ...[...instruments.values()].map(({ definition, series }) => ({ definition, series: [...series.values()] })),
    ...[...observed.values()].map(({ definition, set }) => ({ definition, series: [...set.values()] })),
  ];
  return { readings: readings.filter(({ series }) => series.length > 0).toSorted((a, b) => (a.definition.name < b.definition.name ? -1 : 1)), errors };
}

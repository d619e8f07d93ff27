import type { Attributes, Meter, Observable, ObservableCallback } from "@opentelemetry/api";
import type { Labels, LabelValues, MetricDefinition } from "./definition.ts";

/**
 * Measurements without an SDK: instruments exist from the first import on and keep what they are told in a bounded list; when a
 * meter is attached they hand it over, and from then on pass everything on. So nobody waits for the SDK to load, and nothing is lost.
 */
const PENDING = 5_000;

interface Recorder { record(value: number, attributes: Attributes): void }

class Instrument implements Recorder {
  readonly #definition: MetricDefinition;
  #real: readonly ((value: number, attributes: Attributes) => void)[] = [];

  constructor(definition: MetricDefinition) {
    this.#definition = definition;
  }

  attach(meter: Meter): void {
    const { kind, name, unit, description, buckets } = this.#definition;
    const options = { unit, description, ...(buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } }) };
    if (kind === "counter") {
      const real = meter.createCounter(name, options);
      this.#real = [...this.#real, (value, attributes) => real.add(value, attributes)];
    } else {
      const real = meter.createHistogram(name, options);
      this.#real = [...this.#real, (value, attributes) => real.record(value, attributes)];
    }
  }

  record(value: number, attributes: Attributes): void {
    if (this.#real.length === 0) return keep(this, value, attributes);
    for (const real of this.#real) real(value, attributes);
  }
}

interface Observer { readonly definition: MetricDefinition; readonly callback: ObservableCallback; readonly attached: Observable[] }

const instruments = new Map<string, Instrument>();
const observers = new Set<Observer>();
const meters: Meter[] = [];
let pending: { to: Recorder; value: number; attributes: Attributes }[] = [];
let whenFull: (() => void) | null = null;

function keep(to: Recorder, value: number, attributes: Attributes): void {
  pending.push({ to, value, attributes });
  if (pending.length < PENDING) return;
  if (whenFull === null) pending.splice(0, PENDING / 2);
  else if (pending.length === PENDING) whenFull();
  else if (pending.length > 4 * PENDING) pending.shift();
}

/** Called once the list of measurements without a meter is full. Without it, the oldest are dropped. */
export function onPendingFull(attachOne: () => void): void {
  whenFull = attachOne;
}

/** Where all measurements go from now on, those kept so far included. Several meters each get everything that comes after. */
export function attachMeters(...added: readonly Meter[]): void {
  meters.push(...added);
  for (const instrument of instruments.values()) for (const meter of added) instrument.attach(meter);
  for (const observer of observers) for (const meter of added) attachObserver(observer, meter);
  const kept = pending;
  pending = [];
  for (const { to, value, attributes } of kept) to.record(value, attributes);
}

function instrument(definition: MetricDefinition): Instrument {
  let made = instruments.get(definition.name);
  if (made !== undefined) return made;
  instruments.set(definition.name, made = new Instrument(definition));
  for (const meter of meters) made.attach(meter);
  return made;
}

/** Something that is counted. */
export function counter<L extends Labels>(definition: MetricDefinition<"counter", L>): { add(value: number, labels: LabelValues<L>): void } {
  const made = instrument(definition);
  return { add: (value, labels) => made.record(value, labels as Attributes) };
}

/** Durations, in seconds. */
export function histogram<L extends Labels>(definition: MetricDefinition<"histogram", L>): { record(value: number, labels: LabelValues<L>): void } {
  const made = instrument(definition);
  return { record: (value, labels) => made.record(value, labels as Attributes) };
}

/** Reads a value each time somebody collects, until it is disposed. A failure leaves the value out. */
export function observe<L extends Labels>(
  definition: MetricDefinition<"gauge" | "observed counter", L>,
  read: (observed: (value: number, labels: LabelValues<L>) => void) => void | Promise<void>,
): Disposable {
  const observer: Observer = {
    definition, attached: [],
    callback: (result) => read((value, labels) => result.observe(value, labels as Attributes)),
  };
  observers.add(observer);
  for (const meter of meters) attachObserver(observer, meter);
  return {
    [Symbol.dispose]() {
      observers.delete(observer);
      for (const real of observer.attached) real.removeCallback(observer.callback);
    },
  };
}

function attachObserver({ definition, callback, attached }: Observer, meter: Meter): void {
  const { kind, name, unit, description } = definition;
  const real = kind === "gauge" ? meter.createObservableGauge(name, { unit, description }) : meter.createObservableCounter(name, { unit, description });
  real.addCallback(callback);
  attached.push(real);
}

import type { Attributes, Meter } from "@opentelemetry/api";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { prometheusName, unitWord } from "./definition.ts";

/** Reads when it is asked. */
class PullReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

export interface PrometheusPage {
  readonly meter: Meter;
  /** Prometheus' text format, version 0.0.4; and what could not be read. */
  render(): Promise<{ readonly text: string; readonly errors: readonly unknown[] }>;
}

export function openPrometheusPage(resource: Attributes): PrometheusPage {
  const reader = new PullReader();
  const provider = new MeterProvider({ resource: resourceFromAttributes(resource), readers: [reader] });
  const serializer = new PrometheusSerializer("", false, undefined, false, true);
  return {
    meter: provider.getMeter("@gantry"),
    async render() {
      const { resourceMetrics, errors } = await reader.collect();
      return { text: `${serializer.serialize(named(resourceMetrics)).trimEnd()}\n`, errors };
    },
  };
}

/** The serializer leaves units off the names. */
function named(metrics: ResourceMetrics): ResourceMetrics {
  return {
    resource: metrics.resource,
    scopeMetrics: metrics.scopeMetrics.map(({ scope, metrics: inScope }) => ({
      scope,
      metrics: inScope.map((one) => ({
        ...one, descriptor: { ...one.descriptor, name: prometheusName(one.descriptor.name, one.descriptor.unit), unit: unitWord(one.descriptor.unit) },
      })),
    })),
  };
}

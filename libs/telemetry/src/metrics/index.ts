export { metric } from "./catalogue.ts";
export { prometheusLabel, prometheusName, seriesNames, type LabelValues, type Labels, type MetricDefinition, type MetricKind } from "./definition.ts";
export { counter, histogram, observe } from "./instruments.ts";

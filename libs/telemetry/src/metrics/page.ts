import type { Attributes } from "@opentelemetry/api";
import { describeError, type Logger } from "@gantry/kernel";
import { attachMeters } from "./instruments.ts";
import type { PrometheusPage } from "./prometheus.ts";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

let resource: Attributes = {};
let logger: Logger | null = null;
let page: Promise<PrometheusPage> | null = null;

/** What the page says of this process, before it is first asked for. */
export function describePage(attributes: Attributes, log: Logger | null): void {
  resource = attributes;
  logger = log;
}

/** Loads what the page needs; `attach` false: the caller attaches the page's meter together with others. */
export function openPage(attach = true): Promise<PrometheusPage> {
  page ??= (async () => {
    const [{ openPrometheusPage }, { observeProcess }] = await Promise.all([import("./prometheus.ts"), import("./process.ts")]);
    const opened = openPrometheusPage(resource);
    observeProcess();
    if (attach) attachMeters(opened.meter);
    return opened;
  })();
  return page;
}

/** All metrics of this process in Prometheus' text format; the SDK is loaded with the first call. */
export async function metricsPage(): Promise<string> {
  const { text, errors } = await (await openPage()).render();
  for (const error of errors) logger?.warn({ error: describeError(error) }, "a metric could not be read");
  return text;
}

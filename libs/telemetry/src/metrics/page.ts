import { describeError, type Logger } from "@gantry/kernel";
import { readAll } from "./instruments.ts";
import type { LabelSet } from "./series.ts";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

let about: LabelSet = {};
let logger: Logger | null = null;
let watched = false;

/** What the page says of this process. */
export function describePage(labels: LabelSet, log: Logger | null): void {
  about = labels;
  logger = log;
}

/** From the first time that somebody wants to know, this process is measured itself. */
export async function watchProcess(): Promise<void> {
  if (watched) return;
  watched = true;
  (await import("./process.ts")).observeProcess();
}

/** All metrics of this process in Prometheus' text format. */
export async function metricsPage(): Promise<string> {
  const [{ prometheusText }] = await Promise.all([import("./text.ts"), watchProcess()]);
  const { readings, errors } = await readAll();
  for (const error of errors) logger?.warn({ error: describeError(error) }, "a metric could not be read");
  return prometheusText(about, readings);
}

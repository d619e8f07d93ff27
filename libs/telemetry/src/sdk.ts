import { diag, DiagLogLevel, metrics, type Attributes, type Meter } from "@opentelemetry/api";
import type { Logger } from "@gantry/kernel";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { startNodeSdk } from "@opentelemetry/sdk-node";
import { handOver } from "./context/register.ts";
import { sendLogs } from "./log-records.ts";
import type { Wanted } from "./wanted.ts";

export interface Sdk {
  /** Of the metrics that are exported; null where none are. */
  readonly meter: Meter | null;
  shutdown(): Promise<void>;
}

/** Registers tracers, propagators and exporters as `OTEL_*` says, for all of the process. */
export function startSdk(identity: Attributes, wanted: Wanted, logger: Logger): Sdk {
  const sdk = handOver(wanted.traces, () => startNodeSdk({
    // What the environment says of the resource counts more.
    baseResource: defaultResource().merge(resourceFromAttributes(identity)),
    ...(identity["service.instance.id"] === undefined ? {} : { resourceAttributes: { "service.instance.id": identity["service.instance.id"] } }),
    ...(wanted.traces ? {} : { spanProcessors: [] }),
    ...(wanted.metrics ? {} : { metricReaders: [] }),
    ...(wanted.logs ? {} : { logRecordProcessors: [] }),
  }));
  diag.setLogger(sayOnce(logger.child({ part: "telemetry" })), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  if (wanted.logs) sendLogs();
  return { meter: wanted.metrics ? metrics.getMeter("@gantry") : null, shutdown: () => sdk.shutdown() };
}

/** Each trouble once: a collector that is away would else fill the log. */
function sayOnce(logger: Logger) {
  const said = new Set<string>();
  const say = (message: string, ...rest: unknown[]): void => {
    const text = [message, ...rest.map((part) => part instanceof Error ? part.message : String(part))].join(" ");
    const kind = text.replace(/\d+/g, "").slice(0, 80);
    if (said.has(kind)) return logger.debug({ detail: text.slice(0, 2_000) }, "telemetry");
    if (said.size < 100) said.add(kind);
    logger.warn({ detail: text.slice(0, 2_000) }, "telemetry cannot be exported as it should; it is said once");
  };
  return { error: say, warn: say, info() {}, debug() {}, verbose() {} };
}

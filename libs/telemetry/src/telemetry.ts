import type { Attributes } from "@opentelemetry/api";
import type { Logger } from "@gantry/kernel";
import { attachMeters, onPendingFull } from "./metrics/instruments.ts";
import { listenForMetrics } from "./metrics/listener.ts";
import { describePage, openPage } from "./metrics/page.ts";
import { wantedSignals, type Env } from "./wanted.ts";

export interface TelemetryOptions {
  /** `service.name`, unless the environment gives one. */
  readonly service: string;
  readonly version: string;
  /** What tells processes of one service apart, such as a node's ID: `service.instance.id`. Default: a random one. */
  readonly instance?: string;
  readonly logger: Logger;
}

/** How long sending what is left may take at the end of the process. */
const FLUSH_MS = 3_000;

/**
 * Starts the OpenTelemetry SDK if the environment asks for it by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
 * `OTEL_TRACES_EXPORTER`, `OTEL_CONFIG_FILE` …); else it is not even loaded, spans cost next to nothing, and metrics wait for
 * `metricsPage`. Call it before anything is traced. Disposing sends what is still to be sent, for at most three seconds.
 *
 * `GANTRY_METRICS_LISTEN` is served from here too, until disposal.
 *
 * A collector that cannot be reached costs spans, never a request: queues are bounded and drop, and it is said once.
 */
export async function startTelemetry({ service, version, instance, logger }: TelemetryOptions, env: Env): Promise<AsyncDisposable> {
  const identity: Attributes = { "service.name": env["OTEL_SERVICE_NAME"] || service, "service.version": version, ...(instance === undefined ? {} : { "service.instance.id": instance }) };
  describePage(identity, logger);
  await using scope = new AsyncDisposableStack();
  if (env["GANTRY_METRICS_LISTEN"]) scope.use(await listenForMetrics(env["GANTRY_METRICS_LISTEN"]));
  const wanted = wantedSignals(env);
  if (!wanted.traces && !wanted.metrics && !wanted.logs) {
    onPendingFull(() => void openPage().catch((err: unknown) => logger.error({ err }, "metrics cannot be kept")));
    return scope.move();
  }
  const { startSdk } = await import("./sdk.ts");
  const sdk = await startSdk(identity, wanted, logger);
  const page = await openPage(false);
  attachMeters(page.meter, ...(sdk.meter === null ? [] : [sdk.meter]));
  scope.defer(async () => {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(resolve, FLUSH_MS, "late");
    try {
      if (await Promise.race([sdk.shutdown(), late]) === "late") logger.warn({}, "the collector did not take the last spans, metrics and logs in time");
    } finally {
      clearTimeout(timer);
    }
  });
  return scope.move();
}

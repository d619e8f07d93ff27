import type { Attributes } from "@opentelemetry/api";
import type { Logger } from "@gantry/kernel";
import { carryTraces } from "./context/register.ts";
import { expectLogs } from "./log-records.ts";
import { attachMeter, expectMeter } from "./metrics/instruments.ts";
import { listenForMetrics } from "./metrics/listener.ts";
import { describePage, watchProcess } from "./metrics/page.ts";
import type { Sdk } from "./sdk.ts";
import { wantedSignals, type Env, type Wanted } from "./wanted.ts";

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

export interface Telemetry extends AsyncDisposable {
  /**
   * The service serves: now the SDK is loaded, where the environment asks for it, which takes some tenths of a second. What was
   * measured and logged before is sent too; traces that began before are not recorded, in no process. Never rejects.
   */
  ready(): Promise<void>;
}

/**
 * Trace contexts are carried on from now on, so that log lines tell which request they belong to; metrics are kept for `metricsPage`,
 * and `GANTRY_METRICS_LISTEN` is served. Call it before anything is traced.
 *
 * Traces, metrics and logs are exported if the environment asks for it by OpenTelemetry's own variables
 * (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER`, `OTEL_CONFIG_FILE` …); else the SDK is never loaded. A collector that cannot
 * be reached costs spans, never a request: queues are bounded and drop, and it is said once. Disposing sends what is still to be sent,
 * for at most three seconds.
 */
export async function startTelemetry({ service, version, instance, logger }: TelemetryOptions, env: Env): Promise<Telemetry> {
  const name = env["OTEL_SERVICE_NAME"] || service;
  const identity = { "service.name": name, "service.version": version, ...(instance === undefined ? {} : { "service.instance.id": instance }) };
  describePage(identity, logger);
  carryTraces();
  await using scope = new AsyncDisposableStack();
  if (env["GANTRY_METRICS_LISTEN"]) scope.use(await listenForMetrics(env["GANTRY_METRICS_LISTEN"]));
  const wanted = wantedSignals(env);
  if (wanted.metrics) expectMeter();
  if (wanted.logs) expectLogs();
  let sdk: Promise<Sdk | null> | null = null;
  scope.defer(async () => {
    const started = await sdk;
    if (started !== null) await flush(started, logger);
  });
  const all = scope.move();
  return {
    async ready() {
      if (wanted.traces || wanted.metrics || wanted.logs) sdk ??= load(identity, wanted, logger);
      await sdk;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function load(identity: Attributes, wanted: Wanted, logger: Logger): Promise<Sdk | null> {
  try {
    const { startSdk } = await import("./sdk.ts");
    const sdk = startSdk(identity, wanted, logger);
    if (sdk.meter === null) return sdk;
    await watchProcess();
    attachMeter(sdk.meter);
    return sdk;
  } catch (err) {
    logger.error({ err }, "nothing is exported: the OpenTelemetry SDK could not be started");
    return null;
  }
}

async function flush(sdk: Sdk, logger: Logger): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(resolve, FLUSH_MS, "late");
  try {
    if (await Promise.race([sdk.shutdown(), late]) === "late") logger.warn({}, "the collector did not take the last spans, metrics and logs in time");
  } finally {
    clearTimeout(timer);
  }
}

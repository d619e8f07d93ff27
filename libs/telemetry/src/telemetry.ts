import { metrics, type Meter } from "@opentelemetry/api";

export interface TelemetryOptions {
  readonly service: string;
  readonly version: string;
}

export interface Telemetry extends AsyncDisposable {
  /** Where to record metrics; null when nobody collects them. */
  readonly meter: Meter | null;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Starts the OpenTelemetry SDK if the environment asks for it by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
 * `OTEL_TRACES_EXPORTER`, `OTEL_CONFIG_FILE` …); else it is not even loaded, and spans cost next to nothing.
 * Call it before anything is traced. Disposing sends what is still to be sent, for at most `OTEL_BSP_EXPORT_TIMEOUT`.
 */
export async function startTelemetry({ service, version }: TelemetryOptions, env: Env): Promise<Telemetry> {
  if (!isWanted(env)) return { meter: null, async [Symbol.asyncDispose]() {} };
  const { startNodeSdk } = await import("@opentelemetry/sdk-node");
  const sdk = startNodeSdk({ resourceAttributes: { "service.name": env["OTEL_SERVICE_NAME"] || service, "service.version": version } });
  return { meter: metrics.getMeter("@gantry", version), [Symbol.asyncDispose]: () => sdk.shutdown() };
}

/** Whether any exporter is configured, and the SDK is not switched off. */
export function isWanted(env: Env): boolean {
  if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  if (env["OTEL_CONFIG_FILE"]) return true;
  const named = ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"].map((name) => env[name]).filter((value) => value !== undefined && value !== "");
  if (named.some((value) => value !== "none")) return true;
  return named.length < 3 && Object.keys(env).some((name) => /^OTEL_EXPORTER_OTLP_([A-Z]+_)?ENDPOINT$/.test(name) && env[name]);
}

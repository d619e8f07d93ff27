export type Env = Readonly<Record<string, string | undefined>>;

/** The signals that an exporter was configured for. */
export interface Wanted {
  readonly traces: boolean;
  readonly metrics: boolean;
  readonly logs: boolean;
}

const NOTHING: Wanted = { traces: false, metrics: false, logs: false };

/**
 * What OpenTelemetry's variables ask for. Unlike the SDK, which sends to localhost where nothing is said, a signal is wanted only if
 * an exporter is named for it (`OTEL_TRACES_EXPORTER=…`) or there is an endpoint for it (`OTEL_EXPORTER_OTLP_ENDPOINT`, or its own).
 */
export function wantedSignals(env: Env): Wanted {
  if (env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true") return NOTHING;
  if (env["OTEL_CONFIG_FILE"]) return { traces: true, metrics: true, logs: true };
  const wants = (signal: "TRACES" | "METRICS" | "LOGS") => {
    const exporters = (env[`OTEL_${signal}_EXPORTER`] ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
    if (exporters.length > 0) return !exporters.includes("none");
    return Boolean(env["OTEL_EXPORTER_OTLP_ENDPOINT"] || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
  };
  return { traces: wants("TRACES"), metrics: wants("METRICS"), logs: wants("LOGS") };
}

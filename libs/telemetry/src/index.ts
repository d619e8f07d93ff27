export { createLogger, LOG_LEVELS, type LoggerOptions, type LogLevel } from "./logger.ts";
export { METRICS_CONTENT_TYPE, metricsPage } from "./metrics/page.ts";
export { startTelemetry, type Telemetry, type TelemetryOptions } from "./telemetry.ts";

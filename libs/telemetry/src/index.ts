export { createLogger, LOG_LEVELS, type LoggerOptions, type LogLevel } from "./logger.ts";
export { startTelemetry, type Telemetry, type TelemetryOptions } from "./telemetry.ts";

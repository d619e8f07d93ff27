import { GantryError, type Logger } from "@gantry/kernel";
import { isSpanContextValid, trace } from "@opentelemetry/api";
import { destination as openDestination, pino, stdTimeFunctions, type DestinationStream, type LevelWithSilent } from "pino";
import { recordLine } from "./log-records.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  readonly service: string;
  /** Default: `GANTRY_LOG_LEVEL`, else `info`. */
  readonly level?: LogLevel;
  /** A file descriptor, a path to append to, or a stream; default 2, standard error. */
  readonly destination?: number | string | DestinationStream;
}

/**
 * A logger that writes one JSON object a line: `level` in words, `time` in ISO 8601, `service`, `msg`, the given fields
 * (`err` with its stack and causes), and `trace_id` and `span_id` of the span it is called in.
 */
export function createLogger({ service, level = levelFromEnv(), destination = 2 }: LoggerOptions): Logger {
  const stream = typeof destination === "object" ? destination : openDestination({ dest: destination, sync: true, ...(typeof destination === "string" ? { mkdir: true, mode: 0o600 } : {}) });
  return pino({
    level: level satisfies LevelWithSilent,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: traceIds,
    hooks: { streamWrite: (line) => { recordLine(line); return line; } },
  }, stream);
}

function levelFromEnv(): LogLevel {
  const level = process.env["GANTRY_LOG_LEVEL"] || "info";
  if (!LOG_LEVELS.some((known) => known === level)) throw new GantryError("INVALID", `GANTRY_LOG_LEVEL is ${JSON.stringify(level)}: give one of ${LOG_LEVELS.join(", ")}`);
  return level as LogLevel;
}

/** The names OpenTelemetry gives to trace context in logs that are not OTLP. */
function traceIds(): object {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || !isSpanContextValid(context)) return {};
  return { trace_id: context.traceId, span_id: context.spanId, trace_flags: context.traceFlags.toString(16).padStart(2, "0") };
}

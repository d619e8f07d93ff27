import { logs, SeverityNumber, type AnyValue } from "@opentelemetry/api";

const SEVERITY: Readonly<Record<string, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG, info: SeverityNumber.INFO, warn: SeverityNumber.WARN, error: SeverityNumber.ERROR,
};

let sending = false;

/** From now on each log line is also an OpenTelemetry log record. */
export function sendLogs(): void {
  sending = true;
}

/** A line as the logger wrote it. The record carries the span that is active now. */
export function recordLine(line: string): void {
  if (!sending) return;
  const { level, time, msg, trace_id: _trace, span_id: _span, trace_flags: _flags, ...attributes } = JSON.parse(line) as Record<string, AnyValue>;
  logs.getLogger("@gantry").emit({
    timestamp: new Date(String(time)),
    severityNumber: SEVERITY[String(level)] ?? SeverityNumber.UNSPECIFIED,
    severityText: String(level),
    body: msg ?? "",
    attributes,
  });
}

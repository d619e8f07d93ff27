import { logs, ROOT_CONTEXT, SeverityNumber, trace, type AnyValue } from "@opentelemetry/api";

const SEVERITY: Readonly<Record<string, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG, info: SeverityNumber.INFO, warn: SeverityNumber.WARN, error: SeverityNumber.ERROR,
};
/** Lines kept until the SDK is loaded. */
const KEPT = 1_000;

let sending = false;
let kept: string[] | null = null;

/** Log lines will be sent: the first ones are kept until then. */
export function expectLogs(): void {
  if (!sending) kept ??= [];
}

/** From now on each log line is also an OpenTelemetry log record, as are those kept. */
export function sendLogs(): void {
  sending = true;
  const lines = kept ?? [];
  kept = null;
  for (const line of lines) recordLine(line);
}

/** A line as the logger wrote it, with the span that it was written in. */
export function recordLine(line: string): void {
  if (!sending) {
    if (kept !== null && kept.length < KEPT) kept.push(line);
    return;
  }
  const { level, time, msg, trace_id: traceId, span_id: spanId, trace_flags: flags, ...attributes } = JSON.parse(line) as Record<string, AnyValue>;
  logs.getLogger("@gantry").emit({
    timestamp: new Date(String(time)),
    severityNumber: SEVERITY[String(level)] ?? SeverityNumber.UNSPECIFIED,
    severityText: String(level),
    body: msg ?? "",
    attributes,
    context: typeof traceId === "string" && typeof spanId === "string" ? trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(String(flags), 16) }) : ROOT_CONTEXT,
  });
}

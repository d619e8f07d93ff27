import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface ReceivedSpan {
  /** `service.name` and `service.instance.id` of the process. */
  readonly service: string;
  readonly instance: string;
  readonly scope: string;
  readonly name: string;
  readonly kind: "internal" | "server" | "client" | "producer" | "consumer";
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly startNano: bigint;
  readonly endNano: bigint;
}

export interface ReceivedLog {
  readonly service: string;
  readonly severity: string;
  readonly body: unknown;
  readonly traceId: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** A collector for tests: takes OTLP over HTTP in its JSON encoding (opentelemetry-proto), and keeps all it gets. */
export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  /** Makes a process send here, soon after each span. */
  readonly env: Readonly<Record<string, string>>;
  readonly spans: ReceivedSpan[];
  /** Names of the metrics that were received. */
  readonly metrics: Set<string>;
  /** `service.instance.id` of the processes that have sent metrics, and so do send. */
  readonly instances: Set<string>;
  readonly logs: ReceivedLog[];
  /** All spans of one trace so far. */
  trace(traceId: string): ReceivedSpan[];
}

/** `host`: where to listen; default loopback. */
export async function startOtlpReceiver({ host = "127.0.0.1" }: { host?: string } = {}): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [], logs: ReceivedLog[] = [], metrics = new Set<string>(), instances = new Set<string>();
  const take = async (request: IncomingMessage): Promise<void> => {
    if (request.headers["content-type"] !== "application/json") throw new Error(`only OTLP in JSON is understood, not ${request.headers["content-type"]}`);
    const body = JSON.parse(await text(request)) as Body;
    for (const { resource, scopeSpans } of body.resourceSpans ?? []) {
      const of = record(resource?.attributes);
      for (const { scope, spans: some } of scopeSpans) for (const span of some) spans.push(spanOf(span, of, scope?.name ?? ""));
    }
    for (const { resource, scopeMetrics } of body.resourceMetrics ?? []) {
      instances.add(String(record(resource?.attributes)["service.instance.id"]));
      for (const { metrics: some } of scopeMetrics) for (const { name } of some) metrics.add(name);
    }
    for (const { resource, scopeLogs } of body.resourceLogs ?? []) {
      const service = String(record(resource?.attributes)["service.name"]);
      for (const { logRecords } of scopeLogs) {
        for (const log of logRecords) logs.push({ service, severity: log.severityText ?? "", body: valueOf(log.body), traceId: log.traceId || null, attributes: record(log.attributes) });
      }
    }
  };
  const server = createServer((request, response) => {
    take(request).then(
      () => response.setHeader("content-type", "application/json").end("{}"),
      (e: unknown) => { response.statusCode = 400; response.end(String(e)); });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, host, resolve));
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  return {
    url, spans, metrics, instances, logs,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "100", OTEL_BLRP_SCHEDULE_DELAY: "100", OTEL_METRIC_EXPORT_INTERVAL: "500",
      OTEL_METRIC_EXPORT_TIMEOUT: "400",
    },
    trace: (traceId) => spans.filter((span) => span.traceId === traceId),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Attribute { readonly key: string; readonly value: Value }
interface Value { readonly stringValue?: string; readonly intValue?: string | number; readonly doubleValue?: number; readonly boolValue?: boolean; readonly arrayValue?: { readonly values?: readonly Value[] }; readonly kvlistValue?: { readonly values?: readonly Attribute[] } }
interface Resource { readonly attributes?: readonly Attribute[] }
interface SpanJson {
  readonly traceId: string; readonly spanId: string; readonly parentSpanId?: string; readonly name: string; readonly kind: number;
  readonly startTimeUnixNano: string; readonly endTimeUnixNano: string; readonly attributes?: readonly Attribute[];
  readonly status?: { readonly code?: number }; readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}
interface LogJson { readonly severityText?: string; readonly body?: Value; readonly traceId?: string; readonly attributes?: readonly Attribute[] }
interface Body {
  readonly resourceSpans?: readonly { readonly resource?: Resource; readonly scopeSpans: readonly { readonly scope?: { readonly name?: string }; readonly spans: readonly SpanJson[] }[] }[];
  readonly resourceMetrics?: readonly { readonly resource?: Resource; readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[] }[];
  readonly resourceLogs?: readonly { readonly resource?: Resource; readonly scopeLogs: readonly { readonly logRecords: readonly LogJson[] }[] }[];
}

const KINDS = ["internal", "internal", "server", "client", "producer", "consumer"] as const;

function spanOf(span: SpanJson, resource: Record<string, unknown>, scope: string): ReceivedSpan {
  return {
    service: String(resource["service.name"]), instance: String(resource["service.instance.id"]), scope, name: span.name, kind: KINDS[span.kind] ?? "internal",
    traceId: span.traceId, spanId: span.spanId, parentId: span.parentSpanId || null, attributes: record(span.attributes), failed: span.status?.code === 2,
    links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })), startNano: BigInt(span.startTimeUnixNano), endNano: BigInt(span.endTimeUnixNano),
  };
}

function record(attributes: readonly Attribute[] | undefined): Record<string, unknown> {
  return Object.fromEntries((attributes ?? []).map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf(value: Value | undefined): unknown {
  if (value === undefined) return undefined;
  if (value.intValue !== undefined) return Number(value.intValue);
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(valueOf);
  if (value.kvlistValue !== undefined) return record(value.kvlistValue.values);
  return value.stringValue ?? value.doubleValue ?? value.boolValue;
}

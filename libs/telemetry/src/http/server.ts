import type { IncomingMessage, ServerResponse } from "node:http";
import { context, propagation, SpanKind, SpanStatusCode, trace, type Attributes, type Context, type Span } from "@opentelemetry/api";
import { withSpan } from "../with-span.ts";
import { histogram, metric, type LabelValues } from "../metrics/index.ts";

const tracer = trace.getTracer("@gantry/http");
const durations = histogram(metric.httpRequests);

const routes = new WeakMap<IncomingMessage, (route: string) => void>();

export interface ServedRequest {
  readonly service: LabelValues<typeof metric.httpRequests.labels>["service"];
  /** The route's pattern; undefined where none fits. */
  readonly route: string | undefined;
  readonly request: IncomingMessage;
  /** Of a request that is answered; a raw stream has none. */
  readonly response?: ServerResponse;
  /** Where the request carries no trace of its own. */
  readonly parent?: Context;
  readonly attributes?: Attributes;
  /** Told at the end, with the status and the duration in milliseconds. */
  readonly onEnd?: (status: number, ms: number) => void;
}

/**
 * A server span and a measurement around one request, from its head to the end of its answer, continuing the caller's trace
 * (`traceparent`). `work` runs within the span and is given it. Names and attributes: OpenTelemetry's conventions for HTTP servers.
 */
export function observeRequest<T>(served: ServedRequest, work: (span: Span) => T): T {
  const { service, request, response, onEnd } = served;
  let { route } = served;
  const method = request.method ?? "GET";
  const started = performance.now();
  const came = propagation.extract(context.active(), request.headers);
  const parent = trace.getSpanContext(came) === undefined ? served.parent ?? came : came;
  const span = tracer.startSpan(route === undefined ? method : `${method} ${route}`, {
    kind: SpanKind.SERVER,
    attributes: {
      "http.request.method": method, "url.path": (request.url ?? "/").split("?")[0]!, "gantry.service": service,
      ...(route === undefined ? {} : { "http.route": route }), ...served.attributes,
    },
  }, parent);
  routes.set(request, (name) => {
    route = name;
    span.updateName(`${method} ${name}`).setAttribute("http.route", name);
  });
  const end = (): void => {
    const status = response?.headersSent === true ? response.statusCode : request.headers.upgrade === undefined ? CLIENT_GONE : 101;
    const ms = performance.now() - started;
    span.setAttribute("http.response.status_code", status);
    if (status >= 500) {
      span.setAttribute("error.type", String(status));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
    durations.record(ms / 1000, { service, "http.request.method": method, "http.route": route ?? "(none)", "http.response.status_code": String(status) });
    onEnd?.(status, ms);
  };
  (response ?? request.socket).once("close", end);
  return context.with(withSpan(parent, span), work, undefined, span);
}

/** Says which route a request being observed has, where that comes out later: it was handed on. */
export function nameRoute(request: IncomingMessage, route: string): void {
  routes.get(request)?.(route);
}

/** For requests whose client went away before the answer began: as nginx has it. */
const CLIENT_GONE = 499;

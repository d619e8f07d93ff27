import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { recordFailure, withSpan } from "../trace.ts";

const tracer = trace.getTracer("@gantry/http");

/** A request to another service, as its span shows it. */
export interface SentRequest {
  readonly method: string;
  readonly path: string;
  /** `unix:/path`, `http(s)://host:port`. */
  readonly address: string;
}

/** The client span of one request. */
export interface ClientSpan {
  /** Carry the trace to the other side. */
  readonly headers: Readonly<Record<string, string>>;
  /** The answer's head is there. */
  answered(status: number): void;
  failed(error: unknown): void;
}

/**
 * A client span from now until the answer's head (or the failure), by OpenTelemetry's conventions for HTTP clients. The trace goes to
 * services of this fleet only: do not use it for registries.
 */
export function startClientSpan({ method, path, address }: SentRequest): ClientSpan {
  const template = pathTemplate(path);
  const span = tracer.startSpan(`${method} ${template}`, {
    kind: SpanKind.CLIENT, attributes: { "http.request.method": method, "url.template": template, ...server(address) },
  });
  const headers: Record<string, string> = {};
  propagation.inject(withSpan(context.active(), span), headers);
  let ended = false;
  const end = (finish: () => void): void => {
    if (ended) return;
    ended = true;
    finish();
    span.end();
  };
  return {
    headers,
    answered: (status) => end(() => {
      span.setAttribute("http.response.status_code", status);
      if (status < 400) return;
      span.setAttribute("error.type", String(status));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }),
    failed: (error) => end(() => recordFailure(span, error)),
  };
}

function server(address: string): Record<string, string | number> {
  if (address.startsWith("unix:")) return { "server.address": address.slice("unix:".length), "network.transport": "unix" };
  const url = URL.parse(address);
  return url === null ? {} : { "server.address": url.hostname, ...(url.port === "" ? {} : { "server.port": Number(url.port) }) };
}

/** `/v1/blobs/sha256:ab…?x=1` is `/v1/blobs/{digest}`: what is an ID has no place in a name. */
export function pathTemplate(path: string): string {
  return path.split("?")[0]!.replace(/[a-z0-9]+:[0-9a-f]{32,}/g, "{digest}").replace(/(?<=\/)(?:[0-9a-f]{12,64}|[0-9a-f]{8}-[0-9a-f-]{27})(?=\/|$)/g, "{id}");
}

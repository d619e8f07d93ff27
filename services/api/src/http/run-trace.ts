import { context, ROOT_CONTEXT, trace, type Context, type SpanContext } from "@opentelemetry/api";

/**
 * `docker run` is several requests, and the command sends no trace context. So a container's creation is remembered for a while, and
 * the requests up to its start go on with its trace, where they bring none of their own.
 */
const KEPT_MS = 60_000;
const KEPT = 1_000;
const CONTINUES = new Set(["/containers/:id/attach", "/containers/:id/wait", "/containers/:id/start"]);

const creations = new Map<string, { span: SpanContext; at: number }>();

/** To be called within the request that creates the container. */
export function rememberCreation(id: string): void {
  const span = trace.getSpanContext(context.active());
  if (span === undefined) return;
  creations.set(id, { span, at: performance.now() });
  if (creations.size <= KEPT) return;
  const oldest = creations.keys().next();
  if (!oldest.done) creations.delete(oldest.value);
}

/** What a request for a container just created goes on with; undefined for all others. A start is the last of them. */
export function traceOfCreation(route: string | undefined, params: unknown): Context | undefined {
  if (creations.size === 0 || route === undefined || !CONTINUES.has(route)) return undefined;
  const { id } = params as { id: string };
  const creation = creations.get(id);
  if (creation === undefined) return undefined;
  const late = performance.now() - creation.at > KEPT_MS;
  if (late || route.endsWith("/start")) creations.delete(id);
  return late ? undefined : trace.setSpanContext(ROOT_CONTEXT, creation.span);
}

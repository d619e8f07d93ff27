import { trace, type Context, type Span } from "@opentelemetry/api";

/** The context with the span in it: the same one where it is in it already, as is a span that only carries its parent's trace on. */
export function withSpan(context: Context, span: Span): Context {
  return trace.getSpan(context) === span ? context : trace.setSpan(context, span);
}

import { SpanStatusCode, trace, type Attributes, type Span, type SpanOptions } from "@opentelemetry/api";
import { isGantryError } from "@gantry/kernel";

export { withSpan } from "./with-span.ts";

/** Does the work within a span of its own; a failure is recorded with its code, and passed on. `tracer`: the package's name. */
export function traced<T>(tracer: string, name: string, attributes: Attributes, work: (span: Span) => Promise<T>, options: Pick<SpanOptions, "kind" | "links"> = {}): Promise<T> {
  return trace.getTracer(tracer).startActiveSpan(name, { ...options, attributes }, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      recordFailure(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

export function recordFailure(span: Span, error: unknown): void {
  span.setAttribute("error.type", isGantryError(error) ? error.code : error instanceof Error ? error.name : "_OTHER");
  span.setStatus({ code: SpanStatusCode.ERROR, message: (error instanceof Error ? error.message : String(error)).slice(0, 2_000) });
}

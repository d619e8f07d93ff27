import { randomFillSync } from "node:crypto";
import { withSpan } from "../with-span.ts";
import { context, isSpanContextValid, trace, TraceFlags, type Context, type Span, type SpanOptions, type Tracer, type TracerProvider } from "@opentelemetry/api";

type Work = (span: Span) => unknown;

/**
 * Spans that are not recorded: they carry the trace on, or begin one where there is none, so that log lines of one request have the
 * same trace ID in every process. The new trace is marked as not sampled: nobody else records a part of what was not recorded here.
 */
class CarryingTracer implements Tracer {
  startSpan(_name: string, options?: SpanOptions, within: Context = context.active()): Span {
    const parent = options?.root === true ? undefined : trace.getSpan(within);
    if (parent !== undefined) {
      if (!parent.isRecording() && isSpanContextValid(parent.spanContext())) return parent;
      return trace.wrapSpanContext(parent.spanContext());
    }
    return trace.wrapSpanContext({ traceId: randomHex(16), spanId: randomHex(8), traceFlags: TraceFlags.NONE });
  }

  startActiveSpan<F extends Work>(name: string, ...rest: [F] | [SpanOptions, F] | [SpanOptions, Context, F]): ReturnType<F> {
    const work = rest.at(-1) as F;
    const options = rest.length > 1 ? rest[0] as SpanOptions : {};
    const within = rest.length > 2 ? rest[1] as Context : context.active();
    const span = this.startSpan(name, options, within);
    return context.with(withSpan(within, span), () => work(span) as ReturnType<F>);
  }
}

/** Made for many IDs at once. */
const random = Buffer.allocUnsafe(4_080);
let used = random.length;

function randomHex(bytes: number): string {
  if (used + bytes > random.length) {
    randomFillSync(random);
    used = 0;
  }
  return random.toString("hex", used, used += bytes);
}

/** Hands calls on to the tracer that is the right one now. */
class SwitchedTracer implements Tracer {
  tracer: Tracer;

  constructor(tracer: Tracer) {
    this.tracer = tracer;
  }

  startSpan(name: string, options?: SpanOptions, within?: Context): Span {
    return this.tracer.startSpan(name, options, within);
  }

  startActiveSpan<F extends Work>(...args: [string, F] | [string, SpanOptions, F] | [string, SpanOptions, Context, F]): ReturnType<F> {
    return (this.tracer.startActiveSpan as (...given: unknown[]) => ReturnType<F>).apply(this.tracer, args);
  }
}

/** Tracers that only carry traces on, until `record` names the provider that they all record with from then on. */
export class CarryingTracerProvider implements TracerProvider {
  readonly #made: { readonly name: string; readonly version: string | undefined; readonly tracer: SwitchedTracer }[] = [];
  readonly #carrying = new CarryingTracer();
  #provider: TracerProvider | null = null;

  getTracer(name: string, version?: string): Tracer {
    if (this.#provider !== null) return this.#provider.getTracer(name, version);
    const tracer = new SwitchedTracer(this.#carrying);
    this.#made.push({ name, version, tracer });
    return tracer;
  }

  record(provider: TracerProvider): void {
    this.#provider = provider;
    for (const { name, version, tracer } of this.#made.splice(0)) tracer.tracer = provider.getTracer(name, version);
  }
}

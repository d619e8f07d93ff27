import { createTraceState, isSpanContextValid, trace, TraceFlags, type Context, type SpanContext, type TextMapGetter, type TextMapPropagator, type TextMapSetter } from "@opentelemetry/api";

const PARENT = "traceparent";
const STATE = "tracestate";
/** Later versions may append fields to those of `00`; `ff` is none. */
const FORM = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const MAX_STATE = 512;

/** W3C Trace Context (www.w3.org/TR/trace-context), for as long as the SDK with its own propagators is not loaded. */
export class TraceContextPropagator implements TextMapPropagator {
  inject(context: Context, carrier: unknown, setter: TextMapSetter): void {
    const span = trace.getSpanContext(context);
    if (span === undefined || !isSpanContextValid(span)) return;
    setter.set(carrier, PARENT, `00-${span.traceId}-${span.spanId}-${(span.traceFlags & TraceFlags.SAMPLED) === 0 ? "00" : "01"}`);
    const state = span.traceState?.serialize();
    if (state !== undefined && state !== "") setter.set(carrier, STATE, state);
  }

  extract(context: Context, carrier: unknown, getter: TextMapGetter): Context {
    const span = parse(one(getter.get(carrier, PARENT)), () => one(getter.get(carrier, STATE)));
    return span === null ? context : trace.setSpanContext(context, span);
  }

  fields(): string[] {
    return [PARENT, STATE];
  }
}

const one = (value: string | readonly string[] | undefined): string | undefined => typeof value === "object" ? value.length === 1 ? value[0] : undefined : value;

function parse(text: string | undefined, stateOf: () => string | undefined): SpanContext | null {
  if (text === undefined) return null;
  const match = FORM.exec(text);
  if (match === null || (match[1] === "00" && match[5] !== undefined)) return null;
  const span = { traceId: match[2]!, spanId: match[3]!, traceFlags: Number.parseInt(match[4]!, 16) & TraceFlags.SAMPLED, isRemote: true };
  if (!isSpanContextValid(span)) return null;
  const state = stateOf();
  return state === undefined || state.length > MAX_STATE ? span : { ...span, traceState: createTraceState(state) };
}

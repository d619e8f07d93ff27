import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { TraceContextPropagator } from "./propagator.ts";
import { CarryingTracerProvider } from "./tracer.ts";

/** Stays when the API takes it out, so that what is under way keeps its context while the SDK registers. */
class LastingContextManager extends AsyncLocalStorageContextManager {
  override disable(): this {
    return this;
  }
}

let registered: { readonly manager: LastingContextManager; readonly tracers: CarryingTracerProvider } | null = null;

/** Traces are carried on from now on, within the process and by `traceparent`, without an SDK. Once in a process. */
export function carryTraces(): void {
  if (registered !== null) return;
  registered = { manager: new LastingContextManager(), tracers: new CarryingTracerProvider() };
  context.setGlobalContextManager(registered.manager.enable());
  propagation.setGlobalPropagator(new TraceContextPropagator());
  trace.setGlobalTracerProvider(registered.tracers);
}

/** Makes room for the SDK, which `start` registers, and has all tracers record with it where `traces` says so. Contexts stay. */
export function handOver<T>(traces: boolean, start: () => T): T {
  context.disable();
  propagation.disable();
  if (traces) trace.disable();
  const started = start();
  if (registered === null) return started;
  context.disable();
  context.setGlobalContextManager(registered.manager);
  if (traces) registered.tracers.record(trace.getTracerProvider());
  return started;
}

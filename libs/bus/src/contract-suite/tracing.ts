import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { waitFor } from "@gantry/testkit";
import { on } from "../port.ts";
import { say, type Suite } from "./support.ts";

/** Spans and the trace context. */
export function tracingTests(suite: Suite): void {
  const spans = new InMemorySpanExporter();
  before(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }));
  });
  after(() => { for (const part of [trace, context, propagation]) part.disable(); });

  test("the trace goes on at the other side", async () => {
    spans.reset();
    let inside: string | undefined;
    await using _server = await suite.b.serve("suite", [on(say, async ({ text }) => {
      inside = trace.getActiveSpan()?.spanContext().traceId;
      return { heard: text };
    })]);
    const traceId = await trace.getTracer("suite").startActiveSpan("outer", async (span) => {
      await suite.a.call(say, { text: "" });
      span.end();
      return span.spanContext().traceId;
    });
    assert.equal(inside, traceId);
    const mine = await waitFor(() => {
      const found = spans.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
      return found.length >= 3 ? found : null;
    });
    const send = mine.find((span) => span.name === "send suite");
    const process = mine.find((span) => span.name === "process suite");
    assert.equal(process?.parentSpanContext?.spanId, send?.spanContext().spanId);
    assert.equal(send?.attributes["messaging.operation.type"], "send");
    assert.equal(process?.attributes["messaging.destination.name"], "suite");
  });
}

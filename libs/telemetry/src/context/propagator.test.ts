import assert from "node:assert/strict";
import test from "node:test";
import { defaultTextMapGetter, defaultTextMapSetter, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { TraceContextPropagator } from "./propagator.ts";

const propagator = new TraceContextPropagator();
const extract = (carrier: Record<string, string | string[]>) => trace.getSpanContext(propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter));
const ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

test("takes what W3C Trace Context allows, and nothing else", () => {
  assert.deepEqual(extract({ traceparent: `00-${ids}-01` }), { traceId: ids.slice(0, 32), spanId: ids.slice(33), traceFlags: 1, isRemote: true });
  assert.equal(extract({ traceparent: `00-${ids}-02` })?.traceFlags, 0, "flags that are not known");
  assert.equal(extract({ traceparent: `cc-${ids}-01-what` })?.traceFlags, 1, "a later version");
  for (const bad of ["", `00-${ids}`, `00-${ids}-01-more`, `ff-${ids}-01`, `00-${ids.toUpperCase()}-01`, `00-${"0".repeat(32)}-b7ad6b7169203331-01`, `00-${ids.slice(0, 33)}${"0".repeat(16)}-01`, ` 00-${ids}-01`]) {
    assert.equal(extract({ traceparent: bad }), undefined, bad);
  }
  assert.equal(extract({ traceparent: [`00-${ids}-01`, `00-${ids}-01`] }), undefined, "twice");
});

test("gives on what it took, state and all", () => {
  for (const carrier of [{ traceparent: `00-${ids}-01` }, { traceparent: `00-${ids}-00`, tracestate: "a=1,b=2" }]) {
    const out = {};
    propagator.inject(propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter), out, defaultTextMapSetter);
    assert.deepEqual(out, carrier);
  }
  const out = {};
  propagator.inject(ROOT_CONTEXT, out, defaultTextMapSetter);
  assert.deepEqual(out, {});
});

import assert from "node:assert/strict";
import test from "node:test";
import { wantedSignals } from "./wanted.ts";

const nothing = { traces: false, metrics: false, logs: false };
const all = { traces: true, metrics: true, logs: true };

test("a signal is wanted only where an exporter or an endpoint is configured for it", () => {
  assert.deepEqual(wantedSignals({}), nothing);
  assert.deepEqual(wantedSignals({ OTEL_SERVICE_NAME: "x", OTEL_RESOURCE_ATTRIBUTES: "a=b" }), nothing);
  assert.deepEqual(wantedSignals({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }), all);
  assert.deepEqual(wantedSignals({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318" }), { ...nothing, traces: true });
  assert.deepEqual(wantedSignals({ OTEL_TRACES_EXPORTER: "console" }), { ...nothing, traces: true });
  assert.deepEqual(wantedSignals({ OTEL_LOGS_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "x" }), { ...all, logs: false });
  assert.deepEqual(wantedSignals({ OTEL_EXPORTER_OTLP_ENDPOINT: "x", OTEL_SDK_DISABLED: "True" }), nothing);
  assert.deepEqual(wantedSignals({ OTEL_CONFIG_FILE: "otel.yaml" }), all);
});

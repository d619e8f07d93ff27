import assert from "node:assert/strict";
import test from "node:test";
import { parsePrometheusText } from "@gantry/testkit";
import type { MetricDefinition } from "./definition.ts";
import { MAX_SERIES, SeriesSet } from "./series.ts";
import { prometheusText } from "./text.ts";

const definition = { kind: "counter", name: "a.b", unit: "By", description: "back\\slash\nline", labels: { "x.y": "anything", z: "anything" } } satisfies MetricDefinition;

test("labels that differ are different series, whatever is in them", () => {
  const set = new SeriesSet(definition);
  set.add(1, { "x.y": "a", z: "b\"\\\n" });
  set.add(2, { z: "b\"\\\n", "x.y": "a" });
  set.add(4, { "x.y": "a" });
  set.add(8, { z: "a" });
  const family = parsePrometheusText(prometheusText({ "service.name": "me" }, [{ definition, series: [...set.values()] }])).get("a_b_bytes_total");
  assert.deepEqual(family?.samples.map(({ labels, value }) => [labels, value]), [[{ x_y: "a", z: "b\"\\\n" }, 3], [{ x_y: "a" }, 4], [{ z: "a" }, 8]]);
});

test("values that nobody thought of cannot fill the memory", () => {
  const set = new SeriesSet(definition);
  for (let i = 0; i < MAX_SERIES + 100; i++) set.add(1, { z: String(i) });
  const all = [...set.values()];
  assert.equal(all.length, MAX_SERIES + 1);
  assert.deepEqual([all.at(-1)?.labels, all.at(-1)?.sum], [{ "otel.metric.overflow": "true" }, 100]);
});

test("a value is in the first bucket whose bound it does not exceed", () => {
  const seconds = { kind: "histogram", name: "h", unit: "s", description: "h", labels: {}, buckets: [0.1, 1] } satisfies MetricDefinition;
  const set = new SeriesSet(seconds);
  for (const value of [0, 0.1, 0.5, 1, 7]) set.record(value, {});
  const family = parsePrometheusText(prometheusText({}, [{ definition: seconds, series: [...set.values()] }])).get("h_seconds");
  assert.deepEqual(family?.samples.map(({ name, labels, value }) => [name, labels["le"], value]), [
    ["h_seconds_bucket", "0.1", 2], ["h_seconds_bucket", "1", 4], ["h_seconds_bucket", "+Inf", 5], ["h_seconds_sum", undefined, 8.6], ["h_seconds_count", undefined, 5],
  ]);
});

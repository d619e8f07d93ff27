import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { promisify } from "node:util";
import { freePort, parsePrometheusText, startOtlpReceiver } from "@gantry/testkit";

const run = promisify(execFile);
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** `begin` comes before the service is ready. A process of its own, for the SDK can be registered but once; it sees no variables but those given. */
function program(body: string, env: Record<string, string> = {}, begin = ""): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, ["--input-type=module", "-e", `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(specifier, context, next) { loaded.push(specifier); return next(specifier, context); } });
    const { createLogger, metricsPage, startTelemetry } = await import(${here("./index.ts")});
    const { counter, histogram, metric } = await import(${here("./metrics/index.ts")});
    const { trace } = await import("@opentelemetry/api");
    const logger = createLogger({ service: "probe", level: "info" });
    const telemetry = await startTelemetry({ service: "probe", version: "1.2.3", instance: "one", logger }, process.env);
    ${begin}
    await telemetry.ready();
    const sdkLoaded = () => loaded.some((name) => /opentelemetry.(sdk|exporter|resources)/.test(name));
    ${body}
    await telemetry[Symbol.asyncDispose]();
  `], { cwd: import.meta.dirname, env: { PATH: process.env["PATH"] ?? "", ...env }, timeout: 60_000 });
}

test("spans, metrics and logs reach a collector, with the service's name, version and instance", async () => {
  await using receiver = await startOtlpReceiver();
  await program(`
    trace.getTracer("probe").startActiveSpan("work", (span) => { logger.warn({ n: 7 }, "within"); span.end(); });
    counter(metric.builds).add(1, { result: "failed" });
  `, { ...receiver.env, OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test" });
  const [span] = receiver.spans;
  assert.equal(receiver.spans.length, 1);
  assert.deepEqual([span?.service, span?.instance, span?.name, span?.scope], ["probe", "one", "work", "probe"]);
  assert.ok(receiver.metrics.has("gantry.builds"));
  const [log] = receiver.logs;
  assert.deepEqual([log?.service, log?.severity, log?.body, log?.attributes["n"], log?.traceId], ["probe", "warn", "within", 7, span?.traceId]);
});

test("the environment's service name counts more", async () => {
  await using receiver = await startOtlpReceiver();
  const names: [string, string][] = [["OTEL_SERVICE_NAME", "renamed"], ["OTEL_RESOURCE_ATTRIBUTES", "service.name=renamed-too"]];
  for (const variable of names) await program(`trace.getTracer("t").startSpan("work").end();`, { ...receiver.env, ...Object.fromEntries([variable]) });
  assert.deepEqual(receiver.spans.map(({ service }) => service), ["renamed", "renamed-too"]);
});

test("protobuf is the default encoding", async () => {
  const bodies: { type: string | undefined; text: string }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      bodies.push({ type: request.headers["content-type"], text: Buffer.concat(chunks).toString("latin1") });
      response.setHeader("content-type", "application/x-protobuf").end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await program(`trace.getTracer("t").startSpan("work").end();`, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces` });
    assert.equal(bodies[0]?.type, "application/x-protobuf");
    for (const part of ["probe", "1.2.3", "work"]) assert.ok(bodies[0]?.text.includes(part), part);
  } finally {
    server.close();
  }
});

test("without an exporter nothing of the SDK is loaded, not by measurements, not by their page", async () => {
  const { stdout } = await program(`
    trace.getTracer("probe").startActiveSpan("work", (span) => span.end());
    for (let i = 0; i < 10_000; i++) counter(metric.builds).add(1, { result: "failed" });
    histogram(metric.buildDuration).record(2, { result: "failed" });
    counter(metric.builds).add(1, { result: "succeeded" });
    const page = await metricsPage();
    console.log(sdkLoaded());
    console.log(page);
  `);
  const [loaded, ...page] = stdout.split("\n");
  assert.equal(loaded, "false");
  const families = parsePrometheusText(`${page.join("\n").trimEnd()}\n`);
  assert.deepEqual(families.get("gantry_builds_total")?.samples.map(({ labels, value }) => [labels["result"], value]), [["failed", 10_000], ["succeeded", 1]]);
  const sample = (name: string) => families.get("gantry_build_duration_seconds")?.samples.find((one) => one.name === name || `${one.name}{${one.labels["le"]}}` === name)?.value;
  assert.deepEqual(["gantry_build_duration_seconds_bucket{1}", "gantry_build_duration_seconds_bucket{2.5}", "gantry_build_duration_seconds_sum"].map(sample), [0, 1, 2]);
  assert.deepEqual(families.get("target_info")?.samples[0]?.labels, { service_name: "probe", service_version: "1.2.3", service_instance_id: "one" });
  assert.ok((families.get("process_memory_usage_bytes")?.samples[0]?.value ?? 0) > 10_000_000);
});

test("what comes before the service is ready: measurements and log lines are sent, traces are not recorded, as a whole", async () => {
  await using receiver = await startOtlpReceiver();
  await program(`
    tracer.startSpan("after").end();
    await context.with(early, async () => { await null; tracer.startActiveSpan("within an early trace", (span) => { logger.info({}, "late line of it"); span.end(); }); });
  `, receiver.env, `
    const { context } = await import("@opentelemetry/api");
    const tracer = trace.getTracer("probe");
    let early;
    tracer.startActiveSpan("early", (span) => { early = context.active(); logger.info({}, "early line"); span.end(); });
    counter(metric.builds).add(1, { result: "failed" });
  `);
  assert.deepEqual(receiver.spans.map(({ name }) => name), ["after"]);
  assert.ok(receiver.metrics.has("gantry.builds"));
  assert.deepEqual(receiver.logs.map(({ body }) => body), ["early line", "late line of it"]);
  assert.match(String(receiver.logs[0]?.traceId), /^[0-9a-f]{32}$/);
  assert.equal(receiver.logs[1]?.traceId, receiver.logs[0]?.traceId);
});

test("log lines tell which trace they belong to, without an exporter, from process to process", async () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const { stderr, stdout } = await program(`
    const { context, propagation, ROOT_CONTEXT } = await import("@opentelemetry/api");
    const tracer = trace.getTracer("probe");
    const came = propagation.extract(ROOT_CONTEXT, { traceparent: "00-${traceId}-b7ad6b7169203331-01", tracestate: "a=b" });
    await tracer.startActiveSpan("work", {}, came, async () => { await new Promise(setImmediate); tracer.startActiveSpan("inner", () => logger.info({}, "of the client's")); });
    const sent = {};
    propagation.inject(came, sent);
    tracer.startActiveSpan("own", () => { logger.info({}, "own"); propagation.inject(context.active(), sent.own = {}); });
    console.log(JSON.stringify(sent));
  `);
  const [client, own] = stderr.trim().split("\n").map((line) => JSON.parse(line) as Record<string, string>);
  assert.equal(client?.["trace_id"], traceId);
  assert.match(own?.["trace_id"] ?? "", /^[0-9a-f]{32}$/);
  assert.deepEqual(JSON.parse(stdout), { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: "a=b", own: { traceparent: `00-${own?.["trace_id"]}-${own?.["span_id"]}-00` } });
});

test("a collector that is away is told of once, and holds nothing up", async () => {
  const port = await freePort();
  const { stdout, stderr } = await program(`
    for (let i = 0; i < 5; i++) {
      trace.getTracer("probe").startSpan("work").end();
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const began = performance.now();
    await telemetry[Symbol.asyncDispose]();
    console.log(Math.round(performance.now() - began));
    process.exit(0);
  `, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}/v1/traces`, OTEL_BSP_SCHEDULE_DELAY: "20" });
  assert.ok(Number(stdout) < 10_000, `flushing took ${stdout.trim()} ms`);
  const warnings = stderr.trim().split("\n").map((line) => JSON.parse(line) as { level: string; msg: string }).filter(({ level }) => level === "warn");
  assert.equal(warnings.filter(({ msg }) => msg.startsWith("telemetry cannot be exported")).length <= 1, true, stderr);
  assert.ok(warnings.length >= 1, "somebody is told");
});

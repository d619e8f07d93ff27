import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { promisify } from "node:util";
import { freePort, parsePrometheusText, startOtlpReceiver } from "@gantry/testkit";

const run = promisify(execFile);
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** A process of its own, for the SDK can be registered but once; it sees no variables but those given. */
function program(body: string, env: Record<string, string> = {}): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, ["--input-type=module", "-e", `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(specifier, context, next) { loaded.push(specifier); return next(specifier, context); } });
    const { createLogger, metricsPage, startTelemetry } = await import(${here("./index.ts")});
    const { counter, histogram, metric } = await import(${here("./metrics/index.ts")});
    const { trace } = await import("@opentelemetry/api");
    const logger = createLogger({ service: "probe", level: "info" });
    const telemetry = await startTelemetry({ service: "probe", version: "1.2.3", instance: "one", logger }, process.env);
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

test("without an exporter nothing of the SDK is loaded until metrics are asked for, and none recorded before are lost", async () => {
  const { stdout } = await program(`
    trace.getTracer("probe").startActiveSpan("work", (span) => span.end());
    for (let i = 0; i < 10; i++) counter(metric.builds).add(1, { result: "failed" });
    histogram(metric.buildDuration).record(2, { result: "failed" });
    console.log(sdkLoaded());
    const [text] = await Promise.all([metricsPage(), metricsPage()]);
    counter(metric.builds).add(1, { result: "succeeded" });
    console.log(sdkLoaded());
    console.log(await metricsPage());
  `);
  const [before, after, ...page] = stdout.split("\n");
  assert.deepEqual([before, after], ["false", "true"]);
  const families = parsePrometheusText(`${page.join("\n").trimEnd()}\n`);
  assert.deepEqual(families.get("gantry_builds_total")?.samples.map(({ labels, value }) => [labels["result"], value]), [["failed", 10], ["succeeded", 1]]);
  assert.equal(families.get("gantry_build_duration_seconds")?.samples.find(({ name }) => name.endsWith("_sum"))?.value, 2);
  assert.deepEqual(families.get("target_info")?.samples[0]?.labels, { service_name: "probe", service_version: "1.2.3", service_instance_id: "one" });
  assert.ok((families.get("process_memory_usage_bytes")?.samples[0]?.value ?? 0) > 1e6);
  assert.ok((families.get("process_cpu_time_seconds_total")?.samples.length ?? 0) === 2);
});

test("more measurements than are kept make the SDK load, and all of them count", async () => {
  const { stdout } = await program(`
    for (let i = 0; i < 5_010; i++) counter(metric.builds).add(1, { result: "failed" });
    while (!sdkLoaded()) await new Promise((resolve) => setTimeout(resolve, 5));
    console.log(await metricsPage());
  `);
  assert.equal(parsePrometheusText(`${stdout.trimEnd()}\n`).get("gantry_builds_total")?.samples[0]?.value, 5_010);
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

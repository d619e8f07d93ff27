import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { promisify } from "node:util";
import { isWanted } from "./telemetry.ts";

const run = promisify(execFile);

test("the SDK is wanted only where an exporter is configured", () => {
  assert.equal(isWanted({}), false);
  assert.equal(isWanted({ OTEL_SERVICE_NAME: "x", OTEL_RESOURCE_ATTRIBUTES: "a=b" }), false);
  assert.equal(isWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }), true);
  assert.equal(isWanted({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318" }), true);
  assert.equal(isWanted({ OTEL_TRACES_EXPORTER: "console" }), true);
  assert.equal(isWanted({ OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "x" }), false);
  assert.equal(isWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: "x", OTEL_SDK_DISABLED: "true" }), false);
  assert.equal(isWanted({ OTEL_CONFIG_FILE: "otel.yaml" }), true);
});

const program = `
  const { startTelemetry } = await import(${JSON.stringify(new URL("./telemetry.ts", import.meta.url).href)});
  const { trace } = await import("@opentelemetry/api");
  const telemetry = await startTelemetry({ service: "probe", version: "1.2.3" }, process.env);
  trace.getTracer("probe").startActiveSpan("work", (span) => span.end());
  await telemetry[Symbol.asyncDispose]();
  console.log(telemetry.meter === null);
`;

test("spans reach a collector, with the service's name and version", async () => {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      if (request.url === "/v1/traces") bodies.push(Buffer.concat(chunks).toString("latin1"));
      response.setHeader("content-type", "application/x-protobuf").end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    await run(process.execPath, ["--input-type=module", "-e", program], {
      cwd: import.meta.dirname,
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" },
    });
    assert.equal(bodies.length, 1);
    for (const part of ["probe", "1.2.3", "work"]) assert.ok(bodies[0]?.includes(part), part);
  } finally {
    server.close();
  }
});

test("without an exporter nothing of the SDK is loaded", async () => {
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(specifier, context, next) { loaded.push(specifier); return next(specifier, context); } });
    ${program}
    console.log(loaded.some((name) => name.includes("sdk")));
  `], { cwd: import.meta.dirname, env: { PATH: process.env["PATH"] ?? "" } });
  assert.deepEqual(stdout.trim().split("\n").map((line) => line.split(" ").at(-1)), ["true", "false"]);
});

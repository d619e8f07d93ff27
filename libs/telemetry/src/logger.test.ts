import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { context, trace, TraceFlags, ROOT_CONTEXT } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { createLogger } from "./logger.ts";

function capture() {
  const lines: Record<string, unknown>[] = [];
  return { lines, write: (line: string) => { lines.push(JSON.parse(line) as Record<string, unknown>); } };
}

test("writes fields, words for levels, and errors with their causes", () => {
  const out = capture();
  const logger = createLogger({ service: "api", destination: out });
  logger.child({ part: "http" }).warn({ err: new Error("outer", { cause: new Error("inner") }), n: 1 }, "went wrong");
  logger.debug({}, "below the level");
  assert.equal(out.lines.length, 1);
  const [line] = out.lines;
  assert.equal(line?.["level"], "warn");
  assert.equal(line?.["service"], "api");
  assert.equal(line?.["part"], "http");
  assert.equal(line?.["msg"], "went wrong");
  assert.match(String(line?.["time"]), /^\d{4}-\d\d-\d\dT/);
  assert.match(JSON.stringify(line?.["err"]), /outer.*inner/);
  assert.equal("trace_id" in (line ?? {}), false);
});

test("carries the trace it is called in", () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const out = capture();
  const logger = createLogger({ service: "api", destination: out });
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const within = trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED });
  context.with(within, () => logger.info({}, "traced"));
  context.disable();
  assert.equal(out.lines[0]?.["trace_id"], traceId);
  assert.equal(out.lines[0]?.["span_id"], "b7ad6b7169203331");
  assert.equal(out.lines[0]?.["trace_flags"], "01");
});

test("appends to a file that only its owner reads", () => {
  const dir = mkdtempSync(path.join(tmpdir(), "gantry-log-"));
  try {
    createLogger({ service: "api", destination: path.join(dir, "logs", "api.log") }).info({}, "kept");
    assert.match(readFileSync(path.join(dir, "logs", "api.log"), "utf8"), /"msg":"kept"/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

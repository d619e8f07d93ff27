/**
 * Preloaded into an engine (`NODE_OPTIONS=--import=…/span-recorder.ts`): keeps the spans that services make anyway, and writes them to
 * the file named by GANTRY_BENCH_SPANS when the process ends. One JSON array of {@link RecordedSpan}.
 */
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

/** Times in milliseconds since the epoch, with fractions. */
export interface RecordedSpan {
  readonly name: string;
  readonly attributes: Record<string, unknown>;
  readonly start: number;
  end: number;
}

const now = (): number => performance.timeOrigin + performance.now();

/** What OpenTelemetry's Span has to have; events, links and status are not kept. */
class Recorded {
  readonly #span: RecordedSpan;

  constructor(span: RecordedSpan) { this.#span = span; }
  spanContext() { return { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 }; }
  setAttribute(key: string, value: unknown): this { this.#span.attributes[key] = value; return this; }
  setAttributes(attributes: Record<string, unknown>): this { Object.assign(this.#span.attributes, attributes); return this; }
  addEvent(): this { return this; }
  addLink(): this { return this; }
  addLinks(): this { return this; }
  setStatus(): this { return this; }
  updateName(): this { return this; }
  recordException(): void {}
  isRecording(): boolean { return true; }
  end(): void { this.#span.end = now(); }
}

const file = process.env["GANTRY_BENCH_SPANS"];
if (file !== undefined) {
  const spans: RecordedSpan[] = [];
  const startSpan = (name: string, options?: { attributes?: Record<string, unknown> }): Recorded => {
    const span = { name, attributes: { ...options?.attributes }, start: now(), end: 0 };
    spans.push(span);
    return new Recorded(span);
  };
  const tracer = {
    startSpan,
    startActiveSpan: (name: string, ...rest: unknown[]) => (rest.at(-1) as (span: Recorded) => unknown)(startSpan(name, rest.length > 1 ? rest[0] as object : undefined)),
  };
  // The API that the services have: it registers itself once for the whole process.
  const { trace } = createRequire(new URL("../libs/bus/package.json", import.meta.url))("@opentelemetry/api") as { trace: { setGlobalTracerProvider(provider: object): void } };
  trace.setGlobalTracerProvider({ getTracer: () => tracer });
  process.on("exit", () => writeFileSync(file, JSON.stringify(spans.filter((span) => span.end > 0))));
}

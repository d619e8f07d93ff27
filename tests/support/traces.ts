import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OtlpReceiver, ReceivedSpan } from "@gantry/testkit";
import { waitFor } from "@gantry/testkit";

/** The spans of one trace, and questions a test asks of them. */
export class Trace {
  readonly spans: readonly ReceivedSpan[];
  readonly #byId: ReadonlyMap<string, ReceivedSpan>;

  constructor(spans: readonly ReceivedSpan[]) {
    this.spans = spans;
    this.#byId = new Map(spans.map((span) => [span.spanId, span]));
  }

  /** Those whose name fits; at least one. */
  all(name: string | RegExp): ReceivedSpan[] {
    const found = this.spans.filter((span) => typeof name === "string" ? span.name === name : name.test(span.name));
    assert.ok(found.length > 0, `no span ${name} in:\n${this.tree()}`);
    return found;
  }

  /** The one of that name. */
  one(name: string | RegExp): ReceivedSpan {
    const found = this.all(name);
    assert.equal(found.length, 1, `${found.length} spans ${name} in:\n${this.tree()}`);
    return found[0]!;
  }

  /** The span that this one is a child of; null for the first, and for one whose parent is the client's. */
  parent(span: ReceivedSpan): ReceivedSpan | null {
    return this.#byId.get(span.parentId ?? "") ?? null;
  }

  /** From the span up to the root, as `service: name`. Every parent but the caller's own must have been received. */
  path(span: ReceivedSpan): string[] {
    const path: string[] = [];
    for (let at: ReceivedSpan | undefined = span; at !== undefined; at = this.#byId.get(at.parentId ?? "")) path.push(`${at.service}: ${at.name}`);
    return path;
  }

  /** Fails unless `names` come in this order on the way from the span up to the root; others may be between them. */
  below(span: ReceivedSpan, ...names: readonly string[]): void {
    const path = this.path(span);
    let at = 0;
    for (const step of path) if (step === names[at]) at++;
    assert.equal(at, names.length, `${names[at]} is missing above ${span.name}: ${path.join(" < ")}\n${this.tree()}`);
  }

  /** Spans whose parent is no span of the trace; `caller` is that of whoever asked. */
  orphans(caller: string): ReceivedSpan[] {
    return this.spans.filter(({ parentId }) => parentId !== null && parentId !== caller && !this.#byId.has(parentId));
  }

  tree(): string {
    const children = Map.groupBy(this.spans, ({ parentId }) => (parentId !== null && this.#byId.has(parentId) ? parentId : ""));
    const lines = (parent: string, indent: string): string[] => (children.get(parent) ?? [])
      .toSorted((a, b) => (a.startNano < b.startNano ? -1 : 1)).flatMap((span) => [`${indent}${span.service}: ${span.name}`, ...lines(span.spanId, `${indent}  `)]);
    return lines("", "").join("\n");
  }
}

/**
 * The trace, once it is whole: spans that `complete` asks for are there, and no parent is missing, where a process
 * was killed, of spans from after it (`before`: Unix milliseconds), for what that process had open it could not tell of.
 */
export async function wholeTrace(receiver: OtlpReceiver, traceId: string, caller: string, complete: (trace: Trace) => void, { before = 0 } = {}): Promise<Trace> {
  return await waitFor(() => {
    const trace = new Trace(receiver.trace(traceId));
    complete(trace);
    assert.deepEqual(trace.orphans(caller).filter(({ startNano }) => startNano > BigInt(before) * 1_000_000n).map(({ service, name }) => `${service}: ${name}`), [], "a parent has not come");
    return trace;
  }, { timeout: 20_000, what: `trace ${traceId}` });
}

/** A trace that a client has begun. */
export interface ClientTrace {
  readonly traceId: string;
  /** The span that asks. */
  readonly caller: string;
  readonly traceparent: string;
}

export function clientTrace(): ClientTrace {
  const traceId = randomBytes(16).toString("hex"), caller = randomBytes(8).toString("hex");
  return { traceId, caller, traceparent: `00-${traceId}-${caller}-01` };
}

/** Variables with which the docker command asks within the trace: each of its requests has the header. Below `dir` is its configuration. */
export function dockerWithin({ traceId, traceparent }: ClientTrace, dir: string): Record<string, string> {
  const config = join(dir, `docker-${traceId}`);
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, "config.json"), JSON.stringify({ HttpHeaders: { traceparent } }));
  return { DOCKER_CONFIG: config };
}

import assert from "node:assert/strict";
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

/** The trace, once it is whole: spans that `complete` asks for are there, and no parent is missing. */
export async function wholeTrace(receiver: OtlpReceiver, traceId: string, caller: string, complete: (trace: Trace) => void): Promise<Trace> {
  return await waitFor(() => {
    const trace = new Trace(receiver.trace(traceId));
    complete(trace);
    assert.deepEqual(trace.orphans(caller).map(({ service, name }) => `${service}: ${name}`), [], "a parent has not come");
    return trace;
  }, { timeout: 20_000, what: `trace ${traceId}` });
}

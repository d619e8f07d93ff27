import type { TestEvent } from "node:test/reporters";

/** A node:test reporter that writes one line of JSON: how many tests passed, failed and were skipped; suites and files do not count. Failures are also told in words on stderr. */
export default async function* count(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { details, name, file, line } = event.data;
    if (details.type === "suite") continue;
    if (event.type === "test:pass") {
      if (event.data.skip === undefined) passed += 1;
      else skipped += 1;
      continue;
    }
    failed += 1;
    const error = (details as { error: Error & { cause?: unknown } }).error;
    process.stderr.write(`\nFAIL ${file ?? ""}:${line ?? 0} ${name}\n${String((error.cause as Error)?.stack ?? error.cause ?? error.stack)}\n`);
  }
  yield JSON.stringify({ passed, failed, skipped });
}

import type { TestEvent } from "node:test/reporters";

/**
 * A node:test reporter that writes one line of JSON: how many tests passed, failed and were skipped; suites and files do not count,
 * except a skipped suite: its tests are not told of.
 * Failures and skipped tests are also told in words on stderr. The set-up installs all that tests need, so a skipped test is
 * a failed one, unless its reason begins with "the kernel": that is the one thing it cannot bring.
 */
export default async function* count(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { details, name, file, line } = event.data;
    if (details.type === "suite" && event.data.skip === undefined) continue;
    if (event.type === "test:pass") {
      const { skip } = event.data;
      if (skip === undefined) {
        passed += 1;
        continue;
      }
      const excused = typeof skip === "string" && skip.startsWith("the kernel");
      if (excused) skipped += 1;
      else failed += 1;
      process.stderr.write(`\n${excused ? "SKIPPED" : "FAIL (skipped)"} ${file ?? ""}:${line ?? 0} ${name}: ${skip === true || skip === "" ? "no reason given" : skip}\n`);
      continue;
    }
    failed += 1;
    const error = (details as { error: Error & { cause?: unknown } }).error;
    process.stderr.write(`\nFAIL ${file ?? ""}:${line ?? 0} ${name}\n${String((error.cause as Error)?.stack ?? error.cause ?? error.stack)}\n`);
  }
  yield JSON.stringify({ passed, failed, skipped });
}

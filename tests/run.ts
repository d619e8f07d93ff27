/**
 * `npm test`: types, lint and import rules, native tests under sanitizers, then every *.test.ts against RabbitMQ, Redis and
 * PostgreSQL of its own. Arguments name test files or folders to run alone. The last line is `N passed, N failed`.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => join(root, "node_modules", ".bin", name);
const only = process.argv.slice(2);

interface Count { passed: number; failed: number; skipped: number }

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env });
    child.on("error", (e) => { console.error(`${command}: ${e.message}`); done(127); });
    child.on("exit", (code) => done(code ?? 1));
  });
}

async function check(name: string, command: string, args: readonly string[]): Promise<Count> {
  const start = performance.now();
  const code = await run(command, args);
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

/** Runs test files in one `node --test`, with what they need at hand (a runner that starts it), and counts what ran. A run that dies, or that runs nothing, counts as a failure. */
async function testFiles(name: string, files: readonly string[], options: { concurrency: number; runner: string | null }): Promise<Count> {
  if (files.length === 0) return { passed: 0, failed: only.length > 0 ? 0 : 1, skipped: 0 };
  console.log(`\n# ${name}: ${files.length} files`);
  const dir = mkdtempSync(join(tmpdir(), "gantry-count-"));
  const counts = join(dir, "counts.json");
  try {
    const code = await run(process.execPath, [
      ...(options.runner === null ? [] : [join(root, options.runner), "--", process.execPath]),
      "--test", `--test-concurrency=${options.concurrency}`, "--test-timeout=240000",
      "--test-reporter=dot", "--test-reporter-destination=stdout",
      `--test-reporter=${join(root, "tests/count-reporter.ts")}`, `--test-reporter-destination=${counts}`,
      ...files,
    ]);
    const { passed, failed, skipped } = JSON.parse((existsSync(counts) ? readFileSync(counts, "utf8") : "") || '{"passed":0,"failed":0,"skipped":0}') as Count;
    return { passed, failed: failed === 0 && (code !== 0 || passed === 0) ? 1 : failed, skipped };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function main(): Promise<void> {
  const total: Count = { passed: 0, failed: 0, skipped: 0 };
  const add = (count: Count) => { total.passed += count.passed; total.failed += count.failed; total.skipped += count.skipped; };
  const glob = (patterns: string[]) => globSync(patterns, { cwd: root, exclude: (name) => name === "node_modules" }).sort();
  const chosen = (files: string[]) => (only.length === 0 ? files : files.filter((file) => only.some((part) => file.startsWith(part.replace(/^\.\//, "")))));

  if (only.length === 0) {
    add(await check("types", bin("tsc"), ["-p", "."]));
    add(await check("types of the dashboard", bin("tsc"), ["-p", "services/dashboard"]));
    add(await check("lint and import rules", bin("oxlint"), ["--deny-warnings"]));
    add(await check("native, under sanitizers", "make", ["-s", "-j2", "-C", "native", "test"]));
  }
  add(await testFiles("unit and contract tests", chosen(glob(["libs/*/src/**/*.test.ts", "services/*/src/**/*.test.ts", "infra/**/*.test.ts", "tests/unit/**/*.test.ts"])), { concurrency: 2, runner: "libs/testkit/src/services-runner.ts" }));
  add(await testFiles("end to end", chosen(glob(["tests/e2e/**/*.test.ts"])), { concurrency: 1, runner: null }));
  add(await testFiles("cluster", chosen(glob(["tests/cluster/**/*.test.ts"])), { concurrency: 1, runner: "tests/testbed/runner.ts" }));

  console.log(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}

await main();

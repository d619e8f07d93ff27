/**
 * The entry of every npm script: runs on the Node that the machine has (20 or newer), brings in what is missing, then hands over
 * to Node 26. Usage: run.mjs start|demo|testbed|test|bench [arguments]
 */
import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { ROOT, dockerCommandDir, prepare } from "./prepare.mjs";

const ENTRY = {
  start: ["services/gantry/src/main.ts", "up"],
  demo: ["services/gantry/src/demo/main.ts"],
  testbed: ["tests/testbed/main.ts"],
  test: ["tests/run.ts"],
  bench: ["bench/main.ts"],
};

const [task, ...args] = process.argv.slice(2);
const entry = ENTRY[task];
if (!entry) {
  console.error(`gantry: unknown task ${task ?? ""}; there are ${Object.keys(ENTRY).join(", ")}`);
  process.exit(2);
}
const node = prepare(task);
const path = [join(ROOT, "node_modules", ".bin")];
if (task === "test" || task === "demo" || task === "testbed") path.push(...[dockerCommandDir()].filter((dir) => dir !== null));

const child = spawn(node, [join(ROOT, entry[0]), ...entry.slice(1), ...args], {
  stdio: "inherit",
  env: { ...process.env, PATH: [...path, process.env.PATH].join(delimiter), NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(ROOT, ".tools", "compile-cache") },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => { if (child.exitCode === null) child.kill(signal === "SIGINT" && process.stdin.isTTY ? 0 : signal); });
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));

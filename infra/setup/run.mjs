/**
 * The entry of every npm script: runs on the Node that the machine has (20 or newer), brings in what is missing, then hands over
 * to Node 26. Usage: run.mjs start|demo|testbed|test|bench [arguments]
 */
import { delimiter, join } from "node:path";
import { dockerCommandDir } from "./debian.mjs";
import { onNode } from "./hand-over.mjs";
import { ROOT, TOOLS } from "./paths.mjs";
import { prepare } from "./prepare.mjs";

const ENTRY = {
  start: ["services/gantry/bin/gantry.mjs", "up"],
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
prepare(task);
const path = [join(ROOT, "node_modules", ".bin")];
if (task === "test" || task === "demo" || task === "testbed") path.push(...[dockerCommandDir()].filter((dir) => dir !== null));
process.env.PATH = [...path, process.env.PATH].join(delimiter);
// Of the many processes of a test run; a bundle has a cache of its own.
if (task !== "start") process.env.NODE_COMPILE_CACHE ??= join(TOOLS, "compile-cache");
await onNode(entry[0], [...entry.slice(1), ...args]);

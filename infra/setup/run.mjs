/**
 * The entry of every npm script: runs on the Node that the machine has (20 or newer), brings in what is missing, then hands over
 * to Node 26. Usage: run.mjs start|demo|testbed|test|bench|release [arguments]
 */
import { delimiter, join } from "node:path";
import { dockerCommandDir } from "./debian.mjs";
import { gantryOnNode, onNode } from "./hand-over.mjs";
import { ROOT, TOOLS } from "./paths.mjs";
import { prepare } from "./prepare.mjs";

const PROGRAMS = {
  demo: "services/gantry/src/demo/main.ts",
  testbed: "tests/testbed/main.ts",
  test: "tests/run.ts",
  bench: "bench/main.ts",
  release: "infra/release/main.mjs",
};
const TASKS = ["start", ...Object.keys(PROGRAMS)];

const [task, ...args] = process.argv.slice(2);
if (!TASKS.includes(task)) {
  console.error(`gantry: unknown task ${task ?? ""}; there are ${TASKS.join(", ")}`);
  process.exit(2);
}
const bundle = prepare(task);
const path = [join(ROOT, "node_modules", ".bin")];
if (task === "test" || task === "demo" || task === "testbed") path.push(...[dockerCommandDir()].filter((dir) => dir !== null));
process.env.PATH = [...path, process.env.PATH].join(delimiter);
if (task === "start") {
  await gantryOnNode(bundle, ["up", ...args]);
} else {
  process.env.NODE_COMPILE_CACHE ??= join(TOOLS, "compile-cache"); // for the many processes of a test run
  await onNode(PROGRAMS[task], args);
}

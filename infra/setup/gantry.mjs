#!/usr/bin/env node
/** The `gantry` command of a checkout (`npx gantry …`): prepares the machine when needed, then runs services/gantry on Node 26. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ROOT, prepare } from "./prepare.mjs";

const done = spawnSync(prepare("start"), [join(ROOT, "services/gantry/src/main.ts"), ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...process.env, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(ROOT, ".tools", "compile-cache") },
});
process.exit(done.status ?? 1);

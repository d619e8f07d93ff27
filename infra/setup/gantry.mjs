#!/usr/bin/env node
/** The `gantry` command of a checkout (`npx gantry …`): prepares the machine when needed, then runs it on Node 26. */
import { onNode } from "./hand-over.mjs";
import { prepare } from "./prepare.mjs";

prepare("start");
await onNode("services/gantry/bin/gantry.mjs", process.argv.slice(2));

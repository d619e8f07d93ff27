#!/usr/bin/env node
/** The `gantry` command of a checkout (`npx gantry …`): prepares the machine when needed, then runs it on Node 26. */
import { gantryOnNode } from "./hand-over.mjs";
import { prepare } from "./prepare.mjs";

await gantryOnNode(prepare("start"), process.argv.slice(2));

#!/usr/bin/env node
/** The `gantry` command on Node 26, without the set-up: for services, and wherever a start should be quick. */
import { launch } from "../../../infra/setup/launch.mjs";

await launch();

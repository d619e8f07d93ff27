import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { describeError, isGantryError } from "@gantry/kernel";
import { base } from "./commands/base.ts";
import { buildsCommand } from "./commands/builds.ts";
import { certsCommand } from "./commands/certs.ts";
import { containerCommands } from "./commands/containers.ts";
import { deadCommand } from "./commands/dead.ts";
import { down } from "./commands/down.ts";
import { imageCommands } from "./commands/images.ts";
import { nodeCommands } from "./commands/nodes.ts";
import { objectCommands } from "./commands/objects.ts";
import { serviceCommands } from "./commands/services.ts";
import { tokenCommand } from "./commands/tokens.ts";
import { up } from "./commands/up.ts";
import { stateDirOf } from "./state.ts";

const root = resolve(import.meta.dirname, "../../..");

const program = new Command("gantry")
  .description("Builds, stores, schedules and runs containers; speaks Docker's API")
  .enablePositionalOptions()
  .addOption(new Option("-H, --host <address>", "the engine to talk to: unix:///path or tcp://address:port (with the token in GANTRY_TOKEN, or certificates as docker has them: DOCKER_TLS_VERIFY, DOCKER_CERT_PATH)").env("DOCKER_HOST"));

/** Where the client finds an engine that nobody named: the one of the default state directory. */
const defaultHost = () => `unix://${join(stateDirOf(undefined, root), "run", "docker.sock")}`;

for (const command of [
  up(root), down(root), base(root, defaultHost),
  ...serviceCommands(), ...containerCommands(defaultHost), ...imageCommands(defaultHost), ...objectCommands(defaultHost), buildsCommand(defaultHost), tokenCommand(defaultHost), certsCommand(), deadCommand(defaultHost),
  ...nodeCommands(defaultHost),
]) program.addCommand(command);

try {
  await program.parseAsync();
} catch (e) {
  process.stderr.write(`gantry: ${isGantryError(e) ? e.message : describeError(e)}\n`);
  if (!isGantryError(e) && e instanceof Error && process.env.GANTRY_DEBUG) process.stderr.write(`${e.stack}\n`);
  process.exitCode = 1;
}

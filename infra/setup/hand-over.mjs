import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { NODE } from "./dependencies.mjs";
import { ROOT } from "./paths.mjs";

const GANTRY = join(ROOT, "services/gantry/bin/gantry.mjs");

/** Runs a program of the checkout on Node 26: in this process when that is Node 26's, else in a child that ends this one. */
export async function onNode(module, args) {
  const file = join(ROOT, module);
  if (!taken(file, args)) return inChild(file, args);
  await import(pathToFileURL(file).href);
}

/** The same for the `gantry` command, with what `prepare` answered. */
export async function gantryOnNode(bundle, args) {
  if (!taken(GANTRY, args)) return inChild(GANTRY, args);
  const { launch } = await import("./launch.mjs");
  await launch(bundle);
}

/** Whether this process is Node 26's, which then has the arguments of the program. */
function taken(file, args) {
  if (process.execPath !== realpathSync(NODE)) return false;
  process.argv = [process.execPath, file, ...args];
  return true;
}

function inChild(file, args) {
  const child = spawn(NODE, [file, ...args], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => { if (child.exitCode === null) child.kill(signal === "SIGINT" && process.stdin.isTTY ? 0 : signal); });
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
}

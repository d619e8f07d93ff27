import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { NODE } from "./dependencies.mjs";
import { ROOT } from "./paths.mjs";

/** Runs a module of the checkout on Node 26 as the program: in this process when that is Node 26's, else in a child that ends this one. */
export async function onNode(module, args) {
  const file = join(ROOT, module);
  if (process.execPath === realpathSync(NODE)) {
    process.argv = [process.execPath, file, ...args];
    await import(pathToFileURL(file).href);
    return;
  }
  const child = spawn(NODE, [file, ...args], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => { if (child.exitCode === null) child.kill(signal === "SIGINT" && process.stdin.isTTY ? 0 : signal); });
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
}

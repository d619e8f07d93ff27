import { join } from "node:path";
import { Argument, Command } from "commander";
import { BASE_NAMES, type BaseName } from "../base/names.ts";
import type { Engine } from "../client/engine.ts";
import { jsonLines, printProgress, type ProgressRow } from "../client/json-lines.ts";
import { withEngine } from "./client.ts";

/** Layers of base images belong to the checkout, not to one state directory: every engine here gets the same images. */
export function baseCacheDir(root: string): string {
  return process.env.GANTRY_BASE_CACHE ?? join(root, ".tools", "base");
}

export function base(root: string, defaultHost: () => string): Command {
  return new Command("base").description("make a base image from Debian packages, without a registry, and load it")
    .addArgument(new Argument("<image>", "which").choices(BASE_NAMES)).option("-t, --tag <name:tag>", "its name; default busybox:latest, debian:bookworm-slim, node:26-slim")
    .action(withEngine(defaultHost, async (engine: Engine, which: BaseName, options: { tag?: string }, _command: Command) => {
      const { baseImage } = await import("../base/index.ts"); // other commands need no archives
      const { archive } = await baseImage(which, baseCacheDir(root), options.tag);
      const response = await engine.open("POST", "/images/load", { query: { quiet: 1 }, headers: { "content-type": "application/x-tar" }, stream: archive });
      await printProgress(jsonLines<ProgressRow>(response), process.stdout);
    }));
}

import { Command } from "commander";
import { isGantryError } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import type { Engine } from "../client/engine.ts";
import { table } from "../client/format.ts";
import { forEachName, withEngine } from "./client.ts";

/** Where `inspect` looks, in docker's order. */
const KINDS = ["containers/%/json", "images/%/json", "networks/%", "volumes/%"] as const;

export function objectCommands(defaultHost: () => string): Command[] {
  return [inspect(defaultHost), volume(defaultHost)];
}

function inspect(defaultHost: () => string): Command {
  return new Command("inspect").description("show an object in full").argument("<name...>")
    .action(withEngine(defaultHost, async (engine: Engine, names: string[], _options: object, _command: Command) => {
      const found: unknown[] = [];
      let code = 0;
      for (const name of names) {
        try {
          found.push(await lookUp(engine, name));
        } catch (e) {
          process.stderr.write(`${e instanceof Error ? e.message : String(e)}\n`);
          code = 1;
        }
      }
      process.stdout.write(`${JSON.stringify(found, null, 4)}\n`);
      return code;
    }));
}

async function lookUp(engine: Engine, name: string): Promise<unknown> {
  for (const path of KINDS) {
    try {
      return await engine.json("GET", `/${path.replace("%", encodeURIComponent(name))}`);
    } catch (e) {
      if (!isGantryError(e, "NOT_FOUND")) throw e;
    }
  }
  throw fail("NOT_FOUND", `Error: No such object: ${name}`);
}

function volume(defaultHost: () => string): Command {
  const parent = new Command("volume").description("manage volumes");
  parent.command("create").argument("[name]").action(withEngine(defaultHost, async (engine: Engine, name: string | undefined, _options: object, _command: Command) => {
    process.stdout.write(`${(await engine.json<{ Name: string }>("POST", "/volumes/create", { body: { Name: name ?? "" } })).Name}\n`);
  }));
  parent.command("ls").action(withEngine(defaultHost, async (engine: Engine, _options: object, _command: Command) => {
    const { Volumes } = await engine.json<{ Volumes: { Driver: string; Name: string }[] | null }>("GET", "/volumes");
    process.stdout.write(table(["DRIVER", "VOLUME NAME"], (Volumes ?? []).map((v) => [v.Driver, v.Name])));
  }));
  parent.command("rm").argument("<name...>").option("-f, --force").action(withEngine(defaultHost, (engine: Engine, names: string[], options: { force?: boolean }, _command: Command) =>
    forEachName(names, async (name) => void (await engine.open("DELETE", `/volumes/${encodeURIComponent(name)}`, { query: { force: options.force ? 1 : 0 } })))));
  parent.command("inspect").argument("<name...>").action(withEngine(defaultHost, async (engine: Engine, names: string[], _options: object, _command: Command) => {
    const found = await Promise.all(names.map((name) => engine.json("GET", `/volumes/${encodeURIComponent(name)}`)));
    process.stdout.write(`${JSON.stringify(found, null, 4)}\n`);
  }));
  return parent;
}

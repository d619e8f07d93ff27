import { Command } from "commander";
import { shortId } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import type { Engine } from "../client/engine.ts";
import { ago, ellipsis, humanSize, table } from "../client/format.ts";
import { jsonLines, printProgress, type ProgressRow } from "../client/json-lines.ts";
import { collect, withEngine } from "./client.ts";
import { splitTag } from "./containers.ts";
import { runService } from "./services.ts";

interface ImageRow { Id: string; RepoTags: string[] | null; Created: number; Size: number }
interface HistoryRow { Id: string; Created: number; CreatedBy: string; Size: number; Comment: string }

interface BuildOptions { file: string; tag?: string[]; buildArg?: string[]; target?: string; cache: boolean; quiet?: boolean }

export function imageCommands(defaultHost: () => string): Command[] {
  return [build(defaultHost), images(defaultHost), history(defaultHost), rmi(defaultHost), tag(defaultHost), pull(defaultHost), push(defaultHost)];
}

function build(defaultHost: () => string): Command {
  const buildContext = withEngine(defaultHost, async (engine: Engine, context: string, o: BuildOptions, _command: Command) => {
    const args = Object.fromEntries((o.buildArg ?? []).map((arg) => (arg.includes("=") ? [arg.slice(0, arg.indexOf("=")), arg.slice(arg.indexOf("=") + 1)] : [arg, process.env[arg] ?? null])));
    const { contextTar } = await import("../client/context.ts"); // other commands need no archives
    const response = await engine.open("POST", "/build", {
      query: { t: o.tag, dockerfile: o.file, target: o.target, nocache: o.cache ? undefined : 1, q: o.quiet ? 1 : undefined, rm: 1, buildargs: JSON.stringify(args) },
      headers: { "content-type": "application/x-tar" },
      stream: await contextTar(context, o.file),
    });
    await printProgress(jsonLines<ProgressRow>(response), process.stdout);
  });
  return new Command("build").description("build an image from a Dockerfile; without a context: run the build service, configured by GANTRY_* variables").argument("[context]")
    .option("-f, --file <Dockerfile>", "relative to the context", "Dockerfile").option("-t, --tag <name:tag>", "name the image", collect)
    .option("--build-arg <NAME=value>", "set a build argument", collect).option("--target <stage>").option("--no-cache").option("-q, --quiet", "print the image ID only")
    .action(async (context: string | undefined, options: BuildOptions, command: Command) => {
      if (context !== undefined) return buildContext(context, options, command);
      if (process.env.GANTRY_BUS_URL === undefined) throw fail("INVALID", "gantry build needs a context: a directory with a Dockerfile (or, as the build service of a fleet, GANTRY_BUS_URL)");
      await runService("build");
    });
}

function images(defaultHost: () => string): Command {
  return new Command("images").description("list images").option("-a, --all", "also intermediate images").option("-q, --quiet", "IDs only")
    .action(withEngine(defaultHost, async (engine: Engine, options: { all?: boolean; quiet?: boolean }, _command: Command) => {
      const rows = await engine.json<ImageRow[]>("GET", "/images/json", { query: { all: options.all ? 1 : 0 } });
      if (options.quiet) return void process.stdout.write(rows.map((r) => `${shortId(r.Id)}\n`).join(""));
      const lines = rows.flatMap((r) => (r.RepoTags?.length ? r.RepoTags : ["<none>:<none>"]).map((name) => {
        const [repo, version] = splitTag(name);
        return [repo, version, shortId(r.Id), ago(Date.now() / 1000 - r.Created), humanSize(r.Size)];
      }));
      process.stdout.write(table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], lines));
    }));
}

function history(defaultHost: () => string): Command {
  return new Command("history").description("show the layers of an image").argument("<image>").option("--no-trunc", "do not cut the commands")
    .action(withEngine(defaultHost, async (engine: Engine, image: string, options: { trunc: boolean }, _command: Command) => {
      const rows = await engine.json<HistoryRow[]>("GET", `/images/${image}/history`);
      process.stdout.write(table(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], rows.map((r) => [
        r.Id === "<missing>" ? r.Id : options.trunc ? shortId(r.Id) : r.Id, ago(Date.now() / 1000 - r.Created), options.trunc ? ellipsis(r.CreatedBy, 45) : r.CreatedBy, humanSize(r.Size), r.Comment,
      ])));
    }));
}

function rmi(defaultHost: () => string): Command {
  return new Command("rmi").description("remove images").argument("<image...>").option("-f, --force")
    .action(withEngine(defaultHost, async (engine: Engine, names: string[], options: { force?: boolean }, _command: Command) => {
      let code = 0;
      for (const name of names) {
        try {
          for (const row of await engine.json<{ Untagged?: string; Deleted?: string }[]>("DELETE", `/images/${name}`, { query: { force: options.force ? 1 : 0 } })) {
            process.stdout.write(row.Untagged === undefined ? `Deleted: ${row.Deleted}\n` : `Untagged: ${row.Untagged}\n`);
          }
        } catch (e) {
          process.stderr.write(`Error response from daemon: ${e instanceof Error ? e.message : String(e)}\n`);
          code = 1;
        }
      }
      return code;
    }));
}

function tag(defaultHost: () => string): Command {
  return new Command("tag").description("give an image another name").argument("<image>").argument("<name:tag>")
    .action(withEngine(defaultHost, async (engine: Engine, image: string, target: string, _options: object, _command: Command) => {
      const [repo, version] = splitTag(target);
      await engine.open("POST", `/images/${image}/tag`, { query: { repo, tag: version } });
    }));
}

function pull(defaultHost: () => string): Command {
  return new Command("pull").description("bring an image from a registry").argument("<image>")
    .action(withEngine(defaultHost, async (engine: Engine, image: string, _options: object, _command: Command) => {
      const [fromImage, version] = image.includes("@") ? [image, undefined] : splitTag(image);
      await printProgress(jsonLines<ProgressRow>(await engine.open("POST", "/images/create", { query: { fromImage, tag: version === "" ? "latest" : version } })), process.stdout);
    }));
}

function push(defaultHost: () => string): Command {
  return new Command("push").description("send an image to a registry").argument("<image>")
    .action(withEngine(defaultHost, async (engine: Engine, image: string, _options: object, _command: Command) => {
      const [name, version] = splitTag(image);
      const response = await engine.open("POST", `/images/${name}/push`, { query: { tag: version === "" ? "latest" : version }, headers: { "x-registry-auth": "e30=" } });
      await printProgress(jsonLines<ProgressRow>(response), process.stdout);
    }));
}

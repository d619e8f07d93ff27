import { Command } from "commander";
import { shortId } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import { printBuildLog } from "../client/build-log.ts";
import type { Engine } from "../client/engine.ts";
import { ago, ellipsis, table } from "../client/format.ts";
import { collect, forEachName, withEngine } from "./client.ts";

interface Step { number: number; instruction: string; state: string; worker: string | null; attempt: number; durationMs: number | null }
interface Build {
  id: string; state: string; tags: string[]; error: string | null; attempts: number; worker: string | null; step: number; totalSteps: number; imageId: string | null; retryOf: string | null;
  createdAt: string; durationMs: number | null;
}

interface SubmitOptions { file: string; tag?: string[]; buildArg?: string[]; label?: string[]; target?: string; cache: boolean; pull?: boolean; push?: boolean; platform?: string; key?: string; follow?: boolean }

/** `gantry builds …`: build jobs, over /v1/builds. */
export function buildsCommand(defaultHost: () => string): Command {
  return new Command("builds").description("build jobs: they queue, run on any build host, and outlive their workers")
    .addCommand(submit(defaultHost)).addCommand(list(defaultHost)).addCommand(show(defaultHost)).addCommand(logs(defaultHost)).addCommand(cancel(defaultHost)).addCommand(retry(defaultHost));
}

function submit(defaultHost: () => string): Command {
  return new Command("submit").description("submit a directory with a Dockerfile, and print the build's ID").argument("<context>")
    .option("-f, --file <Dockerfile>", "relative to the context", "Dockerfile").option("-t, --tag <name:tag>", "name the image", collect)
    .option("--build-arg <NAME=value>", "set a build argument", collect).option("--label <NAME=value>", "label the image", collect).option("--target <stage>").option("--no-cache")
    .option("--pull", "ask for newer base images").option("--push", "push each tag").option("--platform <os/arch>").option("--key <text>", "idempotency key").option("--follow", "follow its log to its end")
    .action(withEngine(defaultHost, async (engine: Engine, context: string, o: SubmitOptions, _command: Command) => {
      const { contextTar } = await import("../client/context.ts"); // other commands need no archives
      const build = await engine.json<Build>("POST", "/v1/builds", {
        query: {
          tag: o.tag, dockerfile: o.file, target: o.target, noCache: o.cache ? undefined : true, pull: o.pull, push: o.push, platform: o.platform, label: o.label,
          buildArg: o.buildArg?.map((arg) => (arg.includes("=") ? arg : `${arg}=${process.env[arg] ?? ""}`)),
        },
        headers: { "content-type": "application/x-tar", ...(o.key === undefined ? {} : { "idempotency-key": o.key }) },
        stream: await contextTar(context, o.file),
      });
      if (o.follow !== true) return void process.stdout.write(`${build.id}\n`);
      return await followed(engine, build.id, true);
    }));
}

function list(defaultHost: () => string): Command {
  return new Command("ls").description("list builds, newest first").option("--state <state>", "queued, running, succeeded, failed or cancelled", collect).option("--tag <name:tag>").option("--label <NAME[=value]>")
    .option("-n, --limit <count>", "at most so many", "50").option("-q, --quiet", "IDs only")
    .action(withEngine(defaultHost, async (engine: Engine, o: { state?: string[]; tag?: string; label?: string; limit: string; quiet?: boolean }, _command: Command) => {
      const { builds } = await engine.json<{ builds: Build[] }>("GET", "/v1/builds", { query: { state: o.state, tag: o.tag, label: o.label, limit: o.limit } });
      if (o.quiet) return void process.stdout.write(builds.map(({ id }) => `${id}\n`).join(""));
      process.stdout.write(table(["BUILD ID", "STATE", "STEP", "CREATED", "DURATION", "WORKER", "TAGS"], builds.map((b) => [
        shortId(b.id), b.state, `${b.step}/${b.totalSteps}`, ago((Date.now() - Date.parse(b.createdAt)) / 1000), seconds(b.durationMs), ellipsis(b.worker ?? "", 12), b.tags.join(", "),
      ])));
    }));
}

function show(defaultHost: () => string): Command {
  return new Command("show").description("show a build with its steps").argument("<build>").option("--json", "as the API has it")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, o: { json?: boolean }, _command: Command) => {
      const build = await engine.json<Build & { steps: Step[] }>("GET", `/v1/builds/${path(id)}`);
      if (o.json) return void process.stdout.write(`${JSON.stringify(build, null, 2)}\n`);
      const facts: [string, string | null][] = [
        ["Build", build.id], ["State", build.state], ["Tags", build.tags.join(", ")], ["Image", build.imageId], ["Worker", build.worker], ["Attempts", String(build.attempts)],
        ["Created", build.createdAt], ["Duration", seconds(build.durationMs)], ["Retry of", build.retryOf], ["Error", build.error],
      ];
      process.stdout.write(facts.filter(([, value]) => value !== null && value !== "").map(([name, value]) => `${`${name}:`.padEnd(10)}${value}\n`).join(""));
      process.stdout.write(`\n${table(["STEP", "STATE", "DURATION", "WORKER", "ATTEMPT", "INSTRUCTION"], build.steps.map((s) => [
        String(s.number), s.state, seconds(s.durationMs), ellipsis(s.worker ?? "", 12), s.attempt === 0 ? "" : String(s.attempt), ellipsis(s.instruction.replaceAll("\n", " "), 60),
      ]))}`);
    }));
}

function logs(defaultHost: () => string): Command {
  return new Command("logs").description("print the log of a build").argument("<build>").option("-f, --follow", "to its end")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, o: { follow?: boolean }, _command: Command) => followed(engine, path(id), o.follow === true)));
}

function cancel(defaultHost: () => string): Command {
  return new Command("cancel").description("cancel builds").argument("<build...>")
    .action(withEngine(defaultHost, async (engine: Engine, ids: string[], _options: object, _command: Command) =>
      forEachName(ids, async (id) => (await engine.json<Build>("POST", `/v1/builds/${path(id)}/cancel`)).id)));
}

function retry(defaultHost: () => string): Command {
  return new Command("retry").description("build again, as a new build with the same settings").argument("<build>").option("--follow", "follow its log to its end")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, o: { follow?: boolean }, _command: Command) => {
      const build = await engine.json<Build>("POST", `/v1/builds/${path(id)}/retry`);
      if (o.follow !== true) return void process.stdout.write(`${build.id}\n`);
      return await followed(engine, build.id, true);
    }));
}

/** Prints the log; 1 where the build ended otherwise than well. */
async function followed(engine: Engine, id: string, follow: boolean): Promise<number> {
  const end = await printBuildLog(engine, id, follow, process.stdout);
  if (end === null || end.state === "succeeded") return 0;
  process.stderr.write(`${end.error ?? `build ${end.state}`}\n`);
  return 1;
}

const seconds = (ms: number | null): string => (ms === null ? "" : `${(ms / 1000).toFixed(1)}s`);

function path(id: string): string {
  if (!/^[0-9a-f]{4,64}$/.test(id)) throw fail("INVALID", `${id} is no ID of a build: give 4 to 64 hex digits`);
  return id;
}

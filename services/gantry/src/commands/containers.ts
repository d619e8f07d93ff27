import { Command } from "commander";
import { isGantryError, shortId } from "@gantry/kernel";
import type { Engine } from "../client/engine.ts";
import { ago, ellipsis, table } from "../client/format.ts";
import { jsonLines, printProgress, type ProgressRow } from "../client/json-lines.ts";
import { copyTo, demultiplex, interact, waitFor } from "../client/streams.ts";
import { collect, forEachName, withEngine } from "./client.ts";
import { createBody, type RunOptions } from "./run-options.ts";

interface Row { Id: string; Image: string; Command: string; Created: number; Status: string; Names: string[]; Ports: { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }[] }

export function containerCommands(defaultHost: () => string): Command[] {
  return [run(defaultHost), ps(defaultHost), logs(defaultHost), exec(defaultHost), stop(defaultHost), rm(defaultHost), commit(defaultHost)];
}

function run(defaultHost: () => string): Command {
  return new Command("run").description("create and start a container from an image")
    .argument("<image>").argument("[command...]").passThroughOptions()
    .option("-d, --detach", "run in the background and print the container ID")
    .option("-i, --interactive", "keep stdin open").option("-t, --tty", "allocate a terminal").option("--rm", "remove the container when it exits")
    .option("-e, --env <NAME=value>", "set an environment variable", collect).option("-w, --workdir <dir>").option("-u, --user <user[:group]>")
    .option("-v, --volume <source:target>", "a volume or a directory", collect).option("-p, --publish <[host:]port>", "publish a port", collect)
    .option("-P, --publish-all", "publish every exposed port").option("--name <name>").option("--network <network>").option("--network-alias <name>", "a name on that network", collect)
    .option("--entrypoint <program>").option("-h, --hostname <name>").option("-l, --label <name=value>", "a label", collect)
    .option("-m, --memory <bytes>").option("--cpus <number>").option("--restart <policy>").option("--init", "run an init as process 1").option("--privileged").option("--read-only")
    .action(withEngine(defaultHost, async (engine: Engine, image: string, command: string[], options: RunOptions, _command: Command) => {
      const { Id } = await createPulling(engine, image, createBody(image, command, options), options.name);
      if (options.detach) {
        await engine.open("POST", `/containers/${Id}/start`);
        process.stdout.write(`${Id}\n`);
        return 0;
      }
      const attached = await engine.hijack(`/containers/${Id}/attach`, { query: { stream: 1, stdout: 1, stderr: 1, stdin: options.interactive ? 1 : 0 } });
      const waiting = await waitFor(engine, Id, options.rm ? "removed" : "next-exit");
      try {
        await engine.open("POST", `/containers/${Id}/start`);
      } catch (e) {
        attached.stream.destroy();
        process.stderr.write(`gantry: Error response from daemon: ${e instanceof Error ? e.message : String(e)}\n`);
        const message = e instanceof Error ? e.message : "";
        return /executable file not found|no such file or directory/.test(message) ? 127 : /permission denied/.test(message) ? 126 : 125;
      }
      await interact(attached, { stdin: options.interactive ?? false, tty: options.tty ?? false, resize: (size) => engine.open("POST", `/containers/${Id}/resize`, { query: size }) });
      return waiting.code;
    }));
}

/** Creates; where the image is missing, pulls it and tries again, as docker run does. */
async function createPulling(engine: Engine, image: string, body: unknown, name: string | undefined): Promise<{ Id: string }> {
  const create = () => engine.json<{ Id: string }>("POST", "/containers/create", { query: { name }, body });
  try {
    return await create();
  } catch (e) {
    if (!isGantryError(e, "NOT_FOUND") || !/No such image/i.test(e.message)) throw e;
    process.stderr.write(`Unable to find image '${image}' locally\n`);
    await printProgress(jsonLines<ProgressRow>(await engine.open("POST", "/images/create", { query: { fromImage: image } })), process.stderr);
    return create();
  }
}

function ps(defaultHost: () => string): Command {
  return new Command("ps").description("list containers").option("-a, --all", "also those not running").option("-q, --quiet", "IDs only")
    .action(withEngine(defaultHost, async (engine: Engine, options: { all?: boolean; quiet?: boolean }, _command: Command) => {
      const rows = await engine.json<Row[]>("GET", "/containers/json", { query: { all: options.all ? 1 : 0 } });
      if (options.quiet) process.stdout.write(rows.map((r) => `${shortId(r.Id)}\n`).join(""));
      else process.stdout.write(table(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], rows.map((r) => [
        shortId(r.Id), r.Image, `"${ellipsis(r.Command, 20)}"`, ago(Date.now() / 1000 - r.Created), r.Status, r.Ports.map(portText).join(", "), r.Names.map((n) => n.replace(/^\//, "")).join(","),
      ])));
    }));
}

function portText(p: Row["Ports"][number]): string {
  const to = `${p.PrivatePort}/${p.Type}`;
  return p.PublicPort === undefined ? to : `${p.IP?.includes(":") ? `[${p.IP}]` : p.IP}:${p.PublicPort}->${to}`;
}

function logs(defaultHost: () => string): Command {
  return new Command("logs").description("show the output of a container").argument("<container>").option("-f, --follow").option("-t, --timestamps").option("-n, --tail <lines>")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, options: { follow?: boolean; timestamps?: boolean; tail?: string }, _command: Command) => {
      const { Config } = await engine.json<{ Config: { Tty: boolean } }>("GET", `/containers/${id}/json`);
      const stream = await engine.open("GET", `/containers/${id}/logs`, { query: { stdout: 1, stderr: 1, follow: options.follow ? 1 : 0, timestamps: options.timestamps ? 1 : 0, tail: options.tail } });
      if (Config.Tty) await copyTo(stream, process.stdout);
      else await demultiplex(stream, process.stdout, process.stderr);
    }));
}

function exec(defaultHost: () => string): Command {
  return new Command("exec").description("run a command in a running container").argument("<container>").argument("<command...>").passThroughOptions()
    .option("-d, --detach").option("-i, --interactive").option("-t, --tty").option("-e, --env <NAME=value>", "set an environment variable", collect)
    .option("-w, --workdir <dir>").option("-u, --user <user[:group]>").option("--privileged")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, command: string[], o: RunOptions, _command: Command) => {
      const attach = !o.detach;
      const { Id } = await engine.json<{ Id: string }>("POST", `/containers/${id}/exec`, { body: {
        Cmd: command, Env: o.env ?? [], WorkingDir: o.workdir ?? "", User: o.user ?? "", Tty: o.tty ?? false, Privileged: o.privileged ?? false,
        AttachStdin: attach && (o.interactive ?? false), AttachStdout: attach, AttachStderr: attach,
      } });
      const body = { Detach: !attach, Tty: o.tty ?? false };
      if (!attach) return void (await engine.open("POST", `/exec/${Id}/start`, { body }));
      const attached = await engine.hijack(`/exec/${Id}/start`, { body });
      await interact(attached, { stdin: o.interactive ?? false, tty: o.tty ?? false, resize: (size) => engine.open("POST", `/exec/${Id}/resize`, { query: size }) });
      return (await engine.json<{ ExitCode: number }>("GET", `/exec/${Id}/json`)).ExitCode;
    }));
}

function stop(defaultHost: () => string): Command {
  return new Command("stop").description("stop running containers").argument("<container...>").option("-t, --time <seconds>", "wait so long before killing")
    .action(withEngine(defaultHost, (engine: Engine, names: string[], options: { time?: string }, _command: Command) =>
      forEachName(names, async (name) => void (await engine.open("POST", `/containers/${name}/stop`, { query: { t: options.time } })))));
}

function rm(defaultHost: () => string): Command {
  return new Command("rm").description("remove containers").argument("<container...>").option("-f, --force", "kill a running one").option("-v, --volumes", "and its anonymous volumes")
    .action(withEngine(defaultHost, (engine: Engine, names: string[], options: { force?: boolean; volumes?: boolean }, _command: Command) =>
      forEachName(names, async (name) => void (await engine.open("DELETE", `/containers/${name}`, { query: { force: options.force ? 1 : 0, v: options.volumes ? 1 : 0 } })))));
}

function commit(defaultHost: () => string): Command {
  return new Command("commit").description("make an image of a container's changes").argument("<container>").argument("[repository:tag]")
    .option("-a, --author <name>").option("-m, --message <text>").option("-c, --change <instruction>", "apply a Dockerfile instruction", collect)
    .action(withEngine(defaultHost, async (engine: Engine, container: string, target: string | undefined, o: { author?: string; message?: string; change?: string[] }, _command: Command) => {
      const [repo, tag] = splitTag(target ?? "");
      const { Id } = await engine.json<{ Id: string }>("POST", "/commit", { query: { container, repo, tag, author: o.author, comment: o.message, changes: o.change } });
      process.stdout.write(`${Id}\n`);
    }));
}

/** `name:tag` → both; a port's colon is not a tag's. */
export function splitTag(text: string): [name: string, tag: string] {
  const at = text.lastIndexOf(":");
  return at > text.lastIndexOf("/") ? [text.slice(0, at), text.slice(at + 1)] : [text, ""];
}

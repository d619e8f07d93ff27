/** `npm run testbed -- …`: a cluster on this machine. See README.md beside this file. */
import { spawn } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { Failed, ROOT } from "../support/command.ts";
import { Testbed } from "./testbed.ts";

const USAGE = `npm run testbed -- [--dir DIR] COMMAND
  up [--agents N] [--workers N] [--schedulers N] [--log-level LEVEL]
                         RabbitMQ, PostgreSQL, Redis, api, image-store, schedulers, build workers and node agents as separate processes
  down                   end and remove all of it
  status                 hosts, processes
  exec HOST CMD [ARG…]   run a program on a host
  cut HOST               drop all its traffic
  delay HOST 200ms       make all its traffic late
  heal HOST              undo cut and delay
  off HOST               power cut: everything on it ends at once; its files stay
  on HOST                boot it again, with its processes
  kill NAME [SIGNAL]     SIGKILL a process, or another signal
  restart NAME           end it if it runs, and start it
  logs NAME              what it wrote
DIR: default .gantry/testbed`;

const { values: options, positionals } = parseOwn(process.argv.slice(2));
const dir = options.dir ?? join(ROOT, ".gantry", "testbed");

/** Options come before the command's own words: what follows HOST in `exec` is the program's. */
function parseOwn(args: string[]) {
  const exec = args.indexOf("exec");
  const own = exec < 0 ? args : args.slice(0, exec);
  const parsed = parseArgs({
    args: own, allowPositionals: true,
    options: { dir: { type: "string" }, agents: { type: "string" }, workers: { type: "string" }, schedulers: { type: "string" }, "log-level": { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  return { values: parsed.values, positionals: [...parsed.positionals, ...(exec < 0 ? [] : args.slice(exec))] };
}

function count(option: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > 50) throw new Failed(`--${option} ${text}: a number from ${least} to 50 is needed`);
  return value;
}

function word(index: number, what: string): string {
  const value = positionals[index];
  if (value === undefined) throw new Failed(`${positionals[0]} needs ${what}\n\n${USAGE}`);
  return value;
}

async function up(): Promise<void> {
  const start = performance.now();
  const [agents, workers, schedulers, logLevel] = [count("agents", options.agents, 1), count("workers", options.workers, 1), count("schedulers", options.schedulers, 1), options["log-level"]];
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort(new Failed("interrupted")));
  const bed = await Testbed.up({
    dir, keep: true, signal: interrupted.signal, ...(agents === undefined ? {} : { agents }), ...(workers === undefined ? {} : { workers }), ...(schedulers === undefined ? {} : { schedulers }), ...(logLevel === undefined ? {} : { logLevel }),
  });
  console.log(`The cluster is ready (${((performance.now() - start) / 1000).toFixed(1)} s).\n`);
  await status(bed);
  console.log(`\nDOCKER_HOST=${bed.env["DOCKER_HOST"]}\n\nexport DOCKER_HOST=${bed.env["DOCKER_HOST"]} DOCKER_BUILDKIT=0`);
}

async function status(bed: Testbed): Promise<void> {
  const processes = bed.processes();
  for (const { name, address, up: on, cut } of await bed.hostStatus()) {
    const here = processes.filter(({ host }) => host === name).map((p) => `${p.name} ${p.pid ?? "ended"}`);
    console.log(`${name.padEnd(10)} ${address.padEnd(13)} ${(on ? cut ? "cut off" : "up" : "off").padEnd(8)} ${here.join(", ")}`);
  }
}

async function execute(bed: Testbed, host: string, command: string, args: readonly string[]): Promise<void> {
  const child = spawn(...bed.commandOn(host, command, args), { stdio: "inherit" });
  process.exitCode = await new Promise<number>((done, reject) => child.on("error", reject).on("exit", (code) => done(code ?? 128)));
}

async function main(): Promise<void> {
  const [command] = positionals;
  if (command === undefined || options.help) return void console.log(USAGE);
  if (command === "up") return up();
  if (command === "down" && !existsSync(join(dir, "layout.json"))) return void console.log(`There is no testbed in ${dir}.`);
  const bed = Testbed.open(dir);
  switch (command) {
    case "down": return bed.down();
    case "status": return status(bed);
    case "exec": return execute(bed, word(1, "a host"), word(2, "a program"), positionals.slice(3));
    case "cut": return bed.cut(word(1, "a host"));
    case "delay": {
      const delay = /^(\d{1,6})ms$/.exec(word(2, "a time such as 200ms"));
      if (delay === null) throw new Failed(`${positionals[2]} is no time: milliseconds such as 200ms are needed`);
      return bed.delay(word(1, "a host"), Number(delay[1]));
    }
    case "heal": return bed.heal(word(1, "a host"));
    case "off": return bed.powerOff(word(1, "a host"));
    case "on": return bed.powerOn(word(1, "a host"));
    case "kill": return bed.kill(word(1, "a process"), signalName(positionals[2] ?? "KILL"));
    case "restart": return bed.restart(word(1, "a process"));
    case "logs": return pipeline(createReadStream(bed.log(word(1, "a process"))), process.stdout, { end: false });
    default: throw new Failed(`there is no command ${command}\n\n${USAGE}`);
  }
}

function signalName(text: string): NodeJS.Signals {
  const name = text.toUpperCase();
  return (name.startsWith("SIG") ? name : `SIG${name}`) as NodeJS.Signals;
}

try {
  await main();
} catch (e) {
  process.stderr.write(`testbed: ${e instanceof Failed ? e.message : e instanceof Error ? e.stack : String(e)}\n`);
  process.exitCode = 1;
}

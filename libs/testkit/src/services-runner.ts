/**
 * Runs a command with RabbitMQ, Redis and PostgreSQL at hand: `node services-runner.ts [--only=rabbit,redis] -- command args…`
 * Their URLs are in GANTRY_TEST_AMQP, GANTRY_TEST_REDIS and GANTRY_TEST_POSTGRES; one that is set already is left as it is.
 * Exits with the command's code, after all services have stopped.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { STARTERS, VARIABLES } from "./services/shared.ts";

const args = process.argv.slice(2);
const split = args.indexOf("--");
const [command, ...rest] = split < 0 ? args : args.slice(split + 1);
const only = (split < 0 ? [] : args.slice(0, split)).find((arg) => arg.startsWith("--only="))?.slice("--only=".length).split(",");
if (command === undefined) {
  console.error("usage: services-runner.ts [--only=rabbit,redis,postgres] -- command args…");
  process.exit(2);
}

// While stopping, a second Ctrl-C must not leave services behind: the kernel ends them with this process anyway.
const interrupted = Promise.withResolvers<number>();
process.on("SIGINT", () => interrupted.resolve(130)).on("SIGTERM", () => interrupted.resolve(143));

process.exitCode = await main(command, rest);

async function main(command: string, rest: readonly string[]): Promise<number> {
  await using services = new AsyncDisposableStack();
  const wanted = (Object.keys(VARIABLES) as (keyof typeof VARIABLES)[]).filter((name) => (only?.includes(name) ?? true) && !process.env[VARIABLES[name]]);
  const started = await Promise.allSettled(wanted.map(async (name) => [name, services.use(await STARTERS[name]()).url] as const));
  const env = { ...process.env };
  for (const result of started) {
    if (result.status === "rejected") throw result.reason;
    const [name, url] = result.value;
    env[VARIABLES[name]] = url;
  }
  const child = spawn(command, rest, { stdio: "inherit", env });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const code = await Promise.race([exited.then(([status, signal]) => status ?? (signal === null ? 1 : 128)), interrupted.promise]);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await exited;
  }
  return code;
}

/**
 * Runs a command with a testbed at hand: `node runner.ts [--agents=N] -- command args…`. Its directory is in GANTRY_TESTBED; one
 * that is set already is used as it is. Exits with the command's code, or with 1 when the testbed left something behind.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Testbed } from "./testbed.ts";
import { tracesOf } from "./traces.ts";

const args = process.argv.slice(2);
const split = args.indexOf("--");
const [command, ...rest] = args.slice(split + 1);
const agents = args.slice(0, Math.max(0, split)).find((arg) => arg.startsWith("--agents="))?.slice("--agents=".length);
if (split < 0 || command === undefined) {
  console.error("usage: runner.ts [--agents=N] -- command args…");
  process.exit(2);
}

const interrupted = Promise.withResolvers<number>();
process.on("SIGINT", () => interrupted.resolve(130)).on("SIGTERM", () => interrupted.resolve(143));

process.exitCode = process.env["GANTRY_TESTBED"] ? await execute(command, rest, process.env["GANTRY_TESTBED"]) : await withTestbed(command, rest);

async function withTestbed(command: string, rest: readonly string[]): Promise<number> {
  const started = performance.now();
  const giveUp = new AbortController();
  void interrupted.promise.then(() => giveUp.abort(new Error("interrupted")));
  const bed = await Testbed.up({ signal: giveUp.signal, ...(agents === undefined ? {} : { agents: Number(agents) }) });
  console.log(`testbed up in ${((performance.now() - started) / 1000).toFixed(1)} s: ${bed.dir}`);
  let code: number;
  try {
    code = await execute(command, rest, bed.dir);
  } finally {
    await bed.down();
  }
  const left = await tracesOf(bed.layout);
  for (const trace of left) console.error(`left behind by the testbed: ${trace}`);
  return code === 0 && left.length > 0 ? 1 : code;
}

async function execute(command: string, rest: readonly string[], dir: string): Promise<number> {
  const child = spawn(command, rest, { stdio: "inherit", env: { ...process.env, GANTRY_TESTBED: dir } });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const code = await Promise.race([exited.then(([status]) => status ?? 128), interrupted.promise]);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await exited;
  }
  return code;
}

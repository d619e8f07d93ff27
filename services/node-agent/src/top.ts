import { execFile } from "node:child_process";
import { fail } from "@gantry/contracts";
import type { Agent } from "./context.ts";
import { entryOf } from "./context.ts";
import { psArguments, psTable } from "./domain/ps-table.ts";

const MAX_OUTPUT = 16 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

/** `docker top`: the host's ps, of which only the container's processes are kept. */
export async function top(agent: Agent, id: string, psArgs: string): Promise<{ Titles: string[]; Processes: string[][] }> {
  const entry = entryOf(agent, id);
  if (!entry.running) throw fail("NOT_RUNNING", `container ${id} is not running`);
  if (entry.stored.state.status === "restarting") throw fail("CONFLICT", `Container ${id} is restarting, wait until the container is running`);
  const args = psArguments(psArgs);
  const output = await new Promise<string>((resolve, reject) => execFile("ps", args, { maxBuffer: MAX_OUTPUT, timeout: TIMEOUT_MS, env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" } },
    (e, stdout, stderr) => (e ? reject(fail("INVALID", `ps: ${stderr.trim() || e.message}`, { cause: e })) : resolve(stdout))));
  return psTable(output, new Set(await entry.running.pids()));
}

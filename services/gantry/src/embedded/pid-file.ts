import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { errnoOf, type Scope } from "@gantry/kernel";
import { fail } from "@gantry/contracts";

/** The process that runs the services of a state directory, or null. A file left by a killed one, whose number another program has now, does not count. */
export function runningPid(file: string): number | null {
  try {
    const [pid, startTime] = readFileSync(file, "utf8").trim().split(" ");
    return processStartTime(Number(pid)) === startTime ? Number(pid) : null;
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return null;
    throw e;
  }
}

/** Marks this process as the one of the state directory until the scope ends. CONFLICT while another is alive. */
export function holdPidFile(file: string, scope: Scope): void {
  const other = runningPid(file);
  if (other !== null) throw fail("CONFLICT", `Gantry already runs on this state directory (process ${other}). Stop it, or give another --state-dir.`);
  writeFileSync(file, `${process.pid} ${processStartTime(process.pid)}\n`);
  scope.defer(() => rmSync(file, { force: true }));
}

/** Clock ticks since boot at which a process started: with its number, unique (proc(5), field 22 of stat). */
function processStartTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch (e) {
    if (errnoOf(e) === "ENOENT" || errnoOf(e) === "ESRCH") return null;
    throw e;
  }
}

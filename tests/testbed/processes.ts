import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { Failed } from "../support/command.ts";

/** A process by its number and the time it started, which together name it for good (until the machine is started again). */
export interface ProcessMark { readonly pid: number; readonly started: string }

/** The mark of a process that there is now; null for none, or one that only waits to be reaped. */
export function markOf(pid: number): ProcessMark | null {
  const fields = statOf(pid);
  return fields === null || fields[0] === "Z" || fields[0] === "X" ? null : { pid, started: fields[19]! };
}

export function isAlive(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.started === mark.started;
}

/** Sends a signal if the process is still that one; answers whether it was. */
export function signal(mark: ProcessMark, name: NodeJS.Signals): boolean {
  if (!isAlive(mark)) return false;
  process.kill(mark.pid, name);
  return true;
}

/** Waits until it is gone. */
export async function ended(mark: ProcessMark, timeoutMs = 30_000): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; isAlive(mark);) {
    if (performance.now() > deadline) throw new Failed(`process ${mark.pid} did not end within ${timeoutMs} ms`);
    await new Promise((r) => setTimeout(r, 10));
  }
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where its output goes, at the end. */
  readonly log: string;
}

/** Starts a program that outlives this process. */
export async function launch({ command, args, env, log }: Launch): Promise<ProcessMark> {
  const fd = openSync(log, "a");
  const child = spawn(command, args, { env: { PATH: process.env["PATH"] ?? "", ...env }, detached: true, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  await once(child, "spawn");
  child.unref();
  const mark = markOf(child.pid!);
  if (mark === null) throw new Failed(`${command} ended at once: see ${log}`);
  return mark;
}

/**
 * Starts a program by a command that forks it into another PID namespace and waits for it (nsenter, unshare), ends that command and
 * answers the program's mark. It outlives this process.
 */
export async function launchThrough(wrapper: readonly string[], { command, args, env, log }: Launch): Promise<ProcessMark> {
  const fd = openSync(log, "a");
  const parent = spawn(wrapper[0]!, [...wrapper.slice(1), command, ...args], { env: { PATH: process.env["PATH"] ?? "", ...env }, detached: true, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  const gone = once(parent, "exit");
  let failed = false;
  gone.then(() => { failed = true; }, () => { failed = true; });
  for (;;) {
    const child = parent.pid === undefined ? null : childOf(parent.pid);
    if (child !== null) {
      parent.kill("SIGKILL");
      await gone;
      return child;
    }
    if (failed) throw new Failed(`${wrapper[0]} could not start ${command}: see ${log}`);
    await new Promise((r) => setTimeout(r, 2));
  }
}

function childOf(parent: number): ProcessMark | null {
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const fields = statOf(Number(name));
    if (fields !== null && Number(fields[1]) === parent) return { pid: Number(name), started: fields[19]! };
  }
  return null;
}

/** The fields of /proc/PID/stat from the state on (proc(5)): `[0]` state, `[1]` parent, `[19]` start time. */
function statOf(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null; // There is none, or it ended while we looked.
  }
}

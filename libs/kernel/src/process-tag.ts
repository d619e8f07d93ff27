import { readFileSync } from "node:fs";

/**
 * Names for things that belong to a process and are litter when it is gone: `<pid>.<start time in clock ticks>`, which no
 * later process of this boot has. Linux, proc(5).
 */
export const processTag = (): string => own ??= `${process.pid}.${startTime(process.pid)}`;
let own: string | undefined;

/** Whether the process of a tag lives. A text that is no tag is of nobody. */
export function processLives(tag: string): boolean {
  const match = /^(\d+)\.(\d+)$/.exec(tag);
  return match !== null && startTime(Number(match[1])) === match[2];
}

/** Changes with each boot of the host. */
export const bootId = (): string => boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
let boot: string | undefined;

function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command's name, in brackets, may hold blanks and brackets itself.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { ExitStatus } from "./port.ts";
import type { Reader } from "./wire.ts";

/** How the container of this directory ended; null while it has not. */
export async function readExit(dir: string): Promise<ExitStatus | null> {
  const text = await readFile(join(dir, "exit"), "utf8").catch((e: unknown) => {
    if (errnoOf(e) === "ENOENT") return null;
    throw e;
  });
  return text === null ? null : parseExit(text);
}

/** "1 code oom time", then a line with what went wrong, if anything (native/shim/monitor.c). */
export function parseExit(text: string): ExitStatus {
  const match = /^1 (\d{1,3}) ([01]) (\d{1,19})\n([^\n]*)\n$/.exec(text);
  if (!match) throw fail("INTERNAL", "the container's exit file is damaged");
  return exitStatus(Number(match[1]), match[2] === "1", BigInt(match[3]!), match[4]!);
}

/** Of an `exit` frame. */
export function decodeExit(reader: Reader): ExitStatus {
  return exitStatus(reader.i32(), reader.u8() === 1, reader.i64(), reader.str());
}

function exitStatus(exitCode: number, oomKilled: boolean, finishedAt: bigint, error: string): ExitStatus {
  return error === "" ? { exitCode, oomKilled, finishedAt } : { exitCode, oomKilled, finishedAt, error };
}

/** Whether a monitor has ever been at work here and left its container's traces. */
export async function hasMonitorFile(dir: string): Promise<boolean> {
  const info = await stat(join(dir, "monitor")).catch(() => null);
  return info !== null && info.size > 0;
}

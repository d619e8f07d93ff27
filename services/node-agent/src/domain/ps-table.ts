import { fail } from "@gantry/contracts";

/** Docker's rule for the arguments of `docker top`: no way to make ps put something else where the PID column is. */
export function psArguments(text: string): string[] {
  const args = text.trim() === "" ? ["-ef"] : text.trim().split(/\s+/);
  if (args.length > 64) throw fail("INVALID", "too many ps arguments");
  for (const arg of args) {
    if (/\s*pid\s*=/i.test(arg) && /=\s*PID\b/.test(arg)) throw fail("INVALID", `specifying "${arg}" is not allowed`);
  }
  return args;
}

/** Rows of the processes in `pids`, from what ps printed. The last column keeps its blanks. */
export function psTable(output: string, pids: ReadonlySet<number>): { Titles: string[]; Processes: string[][] } {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const Titles = (lines[0] ?? "").trim().split(/\s+/);
  const column = Titles.indexOf("PID");
  if (column < 0) throw fail("INTERNAL", "Couldn't find PID field in ps output");
  const Processes = lines.slice(1).map((line) => {
    const words = line.trim().split(/\s+/);
    return words.length <= Titles.length ? words : [...words.slice(0, Titles.length - 1), words.slice(Titles.length - 1).join(" ")];
  }).filter((words) => pids.has(Number(words[column])));
  return { Titles, Processes };
}

import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { run } from "./engine.ts";

/** What a host has of the things that containers are made of, as sets of names. */
export interface HostThings { mounts: Set<string>; namespaces: Set<string>; links: Set<string>; cgroups: Set<string>; processes: Set<string>; tables: Set<string> }

/** Everything on this host now. */
export async function hostThings(): Promise<HostThings> {
  const processes = new Set<string>();
  const namespaces = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      if (/ (?:Z|X) /.test(stat.slice(stat.lastIndexOf(")") + 1, stat.lastIndexOf(")") + 4))) continue;
      processes.add(`${pid} ${stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"))}`);
      for (const kind of ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"]) namespaces.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
    } catch {
      // ended while we looked
    }
  }
  const mounts = new Set(readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line !== "").map((line) => line.split(" ")[4]!));
  const links = new Set(readdirSync("/sys/class/net"));
  const tables = new Set((await run("nft", ["list", "tables"])).stdout.split("\n").filter((line) => line !== ""));
  return { mounts, namespaces, links, cgroups: cgroupsBelow("/sys/fs/cgroup"), processes, tables };
}

function cgroupsBelow(dir: string): Set<string> {
  const found = new Set<string>();
  const walk = (at: string, depth: number) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const path = `${at}/${entry.name}`;
      found.add(path);
      if (depth < 6) walk(path, depth + 1);
    }
  };
  walk(dir, 0);
  return found;
}

/** What is there now and was not before. */
export function newThings(before: HostThings, now: HostThings): string[] {
  return (Object.keys(before) as (keyof HostThings)[]).flatMap((kind) => [...now[kind]].filter((name) => !before[kind].has(name)).map((name) => `${kind}: ${name}`));
}

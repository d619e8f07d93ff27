import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { run } from "./engine.ts";

/** What a host has of the things that containers are made of, as sets of names. */
export interface HostThings { mounts: Set<string>; namespaces: Set<string>; links: Set<string>; cgroups: Set<string>; processes: Set<string>; tables: Set<string> }

/**
 * What is on this host now. Of processes and namespaces, those of engines on state directories in `dirs`: the processes that name one
 * in their command line (services, spawner, monitors), their descendants, and the namespaces these are in or hold open.
 */
export async function hostThings(...dirs: readonly string[]): Promise<HostThings> {
  const all = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).flatMap((pid) => describeProcess(pid) ?? []);
  const ours = new Set(all.filter((p) => dirs.some((dir) => p.command.includes(dir)) && Number(p.pid) !== process.pid).map((p) => p.pid));
  for (let size = -1; size !== ours.size;) {
    size = ours.size;
    for (const p of all) if (ours.has(p.parent)) ours.add(p.pid);
  }
  // By number and not by ID: idle monitors are used up and replaced.
  const count = new Map<string, number>();
  const processes = new Set(all.filter((p) => ours.has(p.pid)).map((p) => {
    count.set(p.command, (count.get(p.command) ?? 0) + 1);
    return `${p.command} #${count.get(p.command)}`;
  }));
  const namespaces = new Set([...ours].flatMap(namespacesOf));
  const mounts = new Set(readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line !== "").map((line) => line.split(" ")[4]!));
  const links = new Set(readdirSync("/sys/class/net"));
  const tables = new Set((await run("nft", ["list", "tables"])).stdout.split("\n").filter((line) => line !== ""));
  return { mounts, namespaces, links, cgroups: cgroupsBelow("/sys/fs/cgroup"), processes, tables };
}

function describeProcess(pid: string): { pid: string; parent: string; command: string } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? null : { pid, parent: parent!, command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") };
  } catch {
    return null; // it ended while we looked
  }
}

/** The namespaces that a process is in, or holds by a descriptor. */
function namespacesOf(pid: string): string[] {
  try {
    const links = ["ns", "fd"].flatMap((dir) => readdirSync(`/proc/${pid}/${dir}`).map((name) => `/proc/${pid}/${dir}/${name}`));
    return links.map((link) => readlinkSync(link)).filter((target) => /^(?:mnt|pid|net|ipc|uts|cgroup|user):\[/.test(target));
  } catch {
    return [];
  }
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

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";

/** What containers consist of on a host, each as a list of names: to compare before and after. */
export interface HostState {
  /** Mount points of this mount namespace. */
  readonly mounts: readonly string[];
  /** Namespaces that a process is in, or that are mounted below /run, as `net:[inode]`. */
  readonly namespaces: readonly string[];
  /** Network interfaces of this network namespace: bridges, veths … */
  readonly interfaces: readonly string[];
  /** cgroup directories, of v1 and v2. */
  readonly cgroups: readonly string[];
  /** `pid command`, threads of the kernel left out. */
  readonly processes: readonly string[];
}

/**
 * What of it there is now. On a machine that others use too, give `mine`: what every name of mounts, interfaces, cgroups and processes
 * that the test can leave behind must match (its state directory, bridge name, cgroup parent).
 */
export function hostState(mine?: RegExp): HostState {
  const match = (name: string) => mine === undefined || mine.test(name);
  const mounts = lines("/proc/self/mountinfo").map((line) => unescape(line.split(" ")[4] ?? ""));
  const processes = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  const namespaces = new Set<string>();
  for (const pid of processes) for (const kind of ["net", "mnt", "pid", "ipc", "uts", "user", "cgroup"]) namespaces.add(link(`/proc/${pid}/ns/${kind}`));
  namespaces.delete("");
  return {
    mounts: mounts.filter(match).toSorted(),
    namespaces: [...namespaces].toSorted(),
    interfaces: readdirSync("/sys/class/net").filter(match).toSorted(),
    cgroups: [...new Set(lines("/proc/self/mountinfo").filter((line) => / - cgroup2? /.test(line)).map((line) => unescape(line.split(" ")[4] ?? "")).flatMap((root) => directories(root, 6)))].filter(match).toSorted(),
    processes: processes.map((pid) => `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim()}`).filter((line) => !/^[0-9]+ $/.test(line) && match(line)).toSorted(),
  };
}

/** What is there now and was not before, as readable lines; empty when everything was cleaned up. */
export function leftovers(before: HostState, after: HostState): string[] {
  const found: string[] = [];
  for (const kind of ["mounts", "interfaces", "cgroups", "processes"] as const) {
    // Mount points may repeat: count them.
    const rest = [...before[kind]];
    for (const name of after[kind]) {
      const at = rest.indexOf(name);
      if (at < 0) found.push(`${kind}: ${name}`);
      else rest.splice(at, 1);
    }
  }
  return found;
}

/** Numbers for a report: how much of each there is. */
export function countLeftovers(mine?: RegExp): Record<keyof HostState, number> {
  const state = hostState(mine);
  return {
    mounts: state.mounts.length, namespaces: state.namespaces.length, interfaces: state.interfaces.length,
    cgroups: state.cgroups.length, processes: state.processes.length,
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // It has gone meanwhile.
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return ""; // It has gone meanwhile.
  }
}

function lines(file: string): string[] {
  return read(file).split("\n").filter((line) => line !== "");
}

function directories(root: string, depth: number): string[] {
  if (depth === 0) return [];
  let entries: string[];
  try {
    entries = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => path.join(root, entry.name));
  } catch {
    return []; // It has gone meanwhile.
  }
  return entries.flatMap((entry) => [entry, ...directories(entry, depth - 1)]);
}

/** mountinfo writes space, tab, newline and backslash in octal. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

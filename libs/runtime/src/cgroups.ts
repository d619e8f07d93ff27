import { readFileSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@gantry/kernel";

const CONTROLLERS = ["memory", "cpu", "cpuacct", "pids", "cpuset", "freezer", "devices", "blkio"] as const;
export type CgroupController = (typeof CONTROLLERS)[number];

/** Where this host mounts its cgroup hierarchies; version 0: none that is usable. On v2 every controller has the one mount. */
export interface CgroupLayout {
  readonly version: 0 | 1 | 2;
  readonly mounts: Readonly<Partial<Record<CgroupController, string>>>;
}

const unescape = (text: string): string => text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** As native/src/cgroup.c sees it: a cgroup2 mount counts when it offers memory and pids and no v1 hierarchy has them. */
export function cgroupLayout(mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8")): CgroupLayout {
  const v1: Partial<Record<CgroupController, string>> = {};
  let v2: string | null = null;
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4];
    const [type, , options = ""] = after.split(" ");
    if (point === undefined) continue;
    if (type === "cgroup") {
      for (const controller of CONTROLLERS) if (options.split(",").includes(controller)) v1[controller] ??= unescape(point);
    } else if (type === "cgroup2" && v2 === null && offersMemoryAndPids(unescape(point))) {
      v2 = unescape(point);
    }
  }
  if (v1.memory !== undefined || v1.pids !== undefined) return { version: 1, mounts: v1 };
  return v2 === null ? { version: 0, mounts: {} } : { version: 2, mounts: Object.fromEntries(CONTROLLERS.map((c) => [c, v2])) };
}

function offersMemoryAndPids(root: string): boolean {
  try {
    const offered = readFileSync(join(root, "cgroup.controllers"), "utf8").split(/\s+/);
    return offered.includes("memory") && offered.includes("pids");
  } catch {
    return false;
  }
}

/** A container's directory in one hierarchy, for its statistics; null when the host has no such hierarchy. `path` as in the spec. */
export function cgroupDirectory(layout: CgroupLayout, controller: CgroupController, path: string): string | null {
  const mount = layout.mounts[controller];
  return mount === undefined ? null : join(mount, path);
}

/** Removes an empty cgroup, with empty ones beneath it, from every hierarchy. No error when there is none; EBUSY when one has processes. */
export async function removeCgroup(path: string, layout: CgroupLayout = cgroupLayout()): Promise<void> {
  for (const mount of new Set(Object.values(layout.mounts))) await removeBeneath(join(mount, path));
}

async function removeBeneath(dir: string): Promise<void> {
  try {
    for (const entry of await readdir(dir, { withFileTypes: true })) if (entry.isDirectory()) await removeBeneath(join(dir, entry.name));
    await rmdir(dir);
  } catch (e) {
    if (errnoOf(e) !== "ENOENT") throw e;
  }
}

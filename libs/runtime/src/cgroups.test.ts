import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cgroupDirectory, cgroupLayout, removeCgroup } from "./cgroups.ts";

test("version 1 by its controllers, escapes undone", () => {
  const layout = cgroupLayout([
    "26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct",
    "27 25 0:24 / /sys/a\\040b rw - cgroup cgroup rw,memory",
    "28 25 0:25 / /nowhere/unified rw - cgroup2 cgroup2 rw", "",
  ].join("\n"));
  assert.equal(layout.version, 1);
  assert.equal(cgroupDirectory(layout, "cpu", "p/c"), "/sys/fs/cgroup/cpu,cpuacct/p/c");
  assert.equal(cgroupDirectory(layout, "memory", "p/c"), "/sys/a b/p/c");
  assert.equal(cgroupDirectory(layout, "pids", "p/c"), null);
});

test("version 2 counts only with memory and pids; removal goes to the bottom", async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-cgroups-"));
  const mountinfo = `28 25 0:25 / ${root} rw - cgroup2 cgroup2 rw\n`;
  await writeFile(join(root, "cgroup.controllers"), "hugetlb\n");
  assert.equal(cgroupLayout(mountinfo).version, 0);
  await writeFile(join(root, "cgroup.controllers"), "cpu io memory pids\n");
  const layout = cgroupLayout(mountinfo);
  assert.equal(layout.version, 2);
  assert.equal(cgroupDirectory(layout, "blkio", "p"), join(root, "p"));
  await mkdir(join(root, "p/c/d"), { recursive: true });
  await removeCgroup("p", layout);
  await removeCgroup("p", layout);
  await assert.rejects(rm(join(root, "p")), { code: "ENOENT" });
  await rm(root, { recursive: true });
});

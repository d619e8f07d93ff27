import { readdirSync, readFileSync } from "node:fs";
import os from "node:os";
import { rfc3339Nano, systemClock } from "@gantry/kernel";
import type { Self } from "./domain/info.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", arm: "arm", ia32: "386", ppc64: "ppc64le", s390x: "s390x", riscv64: "riscv64" };

/** What this process can tell of itself and of the machine that it runs on. */
export function describeSelf(options: { version: string; instance: string; rootDir: string; gitCommit: string; hostname: string }): Self {
  return {
    ...options,
    nodeVersion: process.versions.node,
    kernelVersion: os.release(),
    arch: ARCHITECTURES[process.arch] ?? process.arch,
    machine: os.machine(),
    operatingSystem: operatingSystem(),
    cpus: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    cgroupVersion: cgroupVersion(),
    buildTime: rfc3339Nano(systemClock.nowNano()),
  };
}

/** Of this process; 0 where /proc does not tell. */
export function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

function operatingSystem(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? os.type();
  } catch {
    return os.type();
  }
}

/** 2 where /sys/fs/cgroup itself is the unified hierarchy. */
function cgroupVersion(): "1" | "2" {
  try {
    return readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim() === "" ? "1" : "2";
  } catch {
    return "1";
  }
}

import { readFile, statfs } from "node:fs/promises";
import { arch, cpus, hostname, release, totalmem } from "node:os";
import type { NodeDescription } from "@gantry/contracts";
import type { HostNetwork } from "@gantry/network";
import { cgroupLayout } from "@gantry/runtime";
import { foreignSubnets } from "./networking.ts";

/** Of the agent: goes up with the release. */
const VERSION = "0.1.0";
const MACHINES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64", ia32: "i386", arm: "armv7l" };

/** This host as it registers with the scheduler. */
export async function describeNode(options: { nodeId: string; address: string; labels: Record<string, string>; stateDir: string; network: HostNetwork }): Promise<NodeDescription> {
  const release_ = Object.fromEntries((await readFile("/etc/os-release", "utf8").catch(() => "")).split("\n").flatMap((line) => {
    const match = /^([A-Z_]+)="?(.*?)"?$/.exec(line);
    return match ? [[match[1]!, match[2]!]] : [];
  })) as Record<string, string | undefined>;
  const { version } = cgroupLayout();
  const disk = await statfs(options.stateDir);
  return {
    nodeId: options.nodeId, hostname: hostname(), address: options.address, cpus: cpus().length, memoryBytes: totalmem(), labels: options.labels,
    version: VERSION, storage: { driver: "overlay2", totalBytes: disk.blocks * disk.bsize },
    platform: {
      kernelVersion: release(), operatingSystem: release_["PRETTY_NAME"] ?? "Linux", osVersion: release_["VERSION_ID"] ?? "", osType: "linux",
      architecture: MACHINES[arch()] ?? arch(), cgroupVersion: version === 2 ? "2" : "1", cgroupDriver: version === 0 ? "none" : "cgroupfs", rootDir: options.stateDir,
      subnets: await foreignSubnets(options.network),
    },
  };
}

/** Capabilities in the bounding set of this process: what it can give to containers. Null: it could not be read. */
export async function boundingSet(): Promise<string | null> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  return /^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? null;
}

/** Bytes in use on this host, for the heartbeat. */
export async function memoryUsed(): Promise<number> {
  const info = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kb = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(info)?.[1] ?? 0);
  return Math.max(0, kb("MemTotal") - kb("MemAvailable")) * 1024;
}

import type { HostConfig } from "@gantry/contracts";
import { DEFAULT_DEVICE_RULES, type Cgroup } from "@gantry/runtime";

const CPU_PERIOD = 100_000;

const positive = (value: number) => (value > 0 ? value : null);

/** Where a container's cgroup is in each hierarchy. `parent` is the agent's own, for a container that names none (`--cgroup-parent`). */
export function cgroupPath(host: Pick<HostConfig, "CgroupParent">, parent: string, id: string): string {
  return `${host.CgroupParent === "" ? parent : host.CgroupParent.replace(/^\/+|\/+$/g, "")}/${id}`;
}

/** Limits of a container. `path` is its cgroup, relative to each hierarchy. */
export function cgroupOf(host: HostConfig, path: string, devices: readonly { type: string; major: number; minor: number; access: string }[]): Cgroup {
  const fromCpus = host.NanoCpus > 0;
  return {
    path,
    memory: positive(host.Memory),
    memorySwap: host.MemorySwap !== 0 ? host.MemorySwap : null,
    memoryReservation: positive(host.MemoryReservation),
    pids: host.PidsLimit !== null && host.PidsLimit > 0 ? host.PidsLimit : null,
    cpuShares: positive(host.CpuShares),
    cpuQuota: fromCpus ? Math.round(host.NanoCpus * CPU_PERIOD / 1e9) : host.CpuQuota !== 0 ? host.CpuQuota : null,
    cpuPeriod: fromCpus ? CPU_PERIOD : positive(host.CpuPeriod),
    cpusetCpus: host.CpusetCpus === "" ? null : host.CpusetCpus,
    cpusetMems: host.CpusetMems === "" ? null : host.CpusetMems,
    blkioWeight: positive(host.BlkioWeight),
    oomKillDisable: host.OomKillDisable === true,
    deviceRules: host.Privileged ? ["a *:* rwm"] : [...DEFAULT_DEVICE_RULES, ...devices.map((d) => `${d.type} ${d.major}:${d.minor} ${d.access}`), ...(host.DeviceCgroupRules ?? [])],
  };
}

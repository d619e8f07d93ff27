import { fail, type HostConfig } from "@gantry/contracts";
import { checkHostConfig, readHostConfig } from "./host-config.ts";
import type { Json } from "./read.ts";

const LIMITS = ["CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems", "NanoCpus", "BlkioWeight", "Memory", "MemorySwap", "MemoryReservation"] as const;

/**
 * What `docker update` makes of a container's HostConfig: limits that are given (not 0, "" or null) and the restart policy, in place
 * of what was there. Throws INVALID for what contradicts itself or what stays, in Docker's words.
 */
export function updatedHostConfig(before: HostConfig, body: Json): HostConfig {
  const given = readHostConfig(body);
  const changes: Partial<HostConfig> = Object.fromEntries(LIMITS.filter((field) => given[field] !== 0 && given[field] !== "").map((field) => [field, given[field]]));
  if (given.PidsLimit !== null) changes.PidsLimit = given.PidsLimit;
  if (namesPolicy(body)) {
    if (before.AutoRemove && given.RestartPolicy.Name !== "no") throw fail("INVALID", "Restart policy cannot be updated because AutoRemove is enabled for the container");
    changes.RestartPolicy = given.RestartPolicy;
  }
  checkAgainst(before, changes);
  const after = { ...before, ...changes };
  checkHostConfig(after);
  return after;
}

function namesPolicy(body: Json): boolean {
  const policy = body["RestartPolicy"];
  return typeof policy === "object" && policy !== null && ((policy as Json)["Name"] ?? "") !== "";
}

function checkAgainst(before: HostConfig, changes: Partial<HostConfig>): void {
  const conflict = (what: string) => fail("INVALID", `Conflicting options: ${what}`);
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, Memory = 0, MemorySwap = 0 } = changes;
  if (NanoCpus > 0 && before.CpuPeriod > 0) throw conflict("Nano CPUs cannot be updated as CPU Period has already been set");
  if (NanoCpus > 0 && before.CpuQuota > 0) throw conflict("Nano CPUs cannot be updated as CPU Quota has already been set");
  if (CpuPeriod > 0 && before.NanoCpus > 0) throw conflict("CPU Period cannot be updated as NanoCPUs has already been set");
  if (CpuQuota > 0 && before.NanoCpus > 0) throw conflict("CPU Quota cannot be updated as NanoCPUs has already been set");
  if (Memory > before.MemorySwap && before.MemorySwap !== -1 && MemorySwap === 0) {
    throw conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  }
}

import type { HostConfig } from "@gantry/contracts";
import type { ContainerRecord } from "./record.ts";
import { isRunning } from "./state.ts";

/**
 * What of a container is set aside on its node. `limits`: all it may use, so that a fleet is never promised twice. `requests`: only
 * what is asked for by `--memory-reservation`, so that one host takes as many limits as Docker does.
 */
export type Reserve = "limits" | "requests";

/** Bytes, and CPUs. */
export interface Resources { readonly memoryBytes: number; readonly cpus: number }

export function limitsOf(host: HostConfig): Resources {
  const quota = host.CpuPeriod > 0 && host.CpuQuota > 0 ? host.CpuQuota / host.CpuPeriod : 0;
  return { memoryBytes: host.Memory, cpus: host.NanoCpus > 0 ? host.NanoCpus / 1e9 : quota };
}

export function reservedBy(host: HostConfig, reserve: Reserve): Resources {
  if (reserve === "requests") return { memoryBytes: host.MemoryReservation, cpus: 0 };
  const { memoryBytes, cpus } = limitsOf(host);
  return { memoryBytes: host.MemoryReservation > 0 ? host.MemoryReservation : memoryBytes, cpus };
}

/** Whether a container counts on its node: it runs, will run again by itself, or was made to run soon. */
export function occupies({ state }: Pick<ContainerRecord, "state">): boolean {
  return isRunning(state) || state.status === "restarting" || state.status === "created";
}

/** Host ports that are asked for by number: `0.0.0.0:80/tcp`. */
export function fixedPorts(host: HostConfig): string[] {
  if (host.NetworkMode === "host" || host.NetworkMode === "none" || host.NetworkMode.startsWith("container:")) return [];
  return Object.entries(host.PortBindings).flatMap(([port, bindings]) => (bindings ?? [])
    .filter(({ HostPort }) => HostPort !== "" && HostPort !== "0")
    .map(({ HostIp, HostPort }) => `${HostIp || "0.0.0.0"}:${HostPort}/${port.split("/")[1] ?? "tcp"}`));
}

/** Whether two of them cannot be had at once on one host: same number and protocol, and an address in common. */
export function portsCollide(a: string, b: string): boolean {
  const [left, right] = [split(a), split(b)];
  return left.port === right.port && (left.ip === right.ip || isAny(left.ip) || isAny(right.ip));
}

const isAny = (ip: string) => ip === "0.0.0.0" || ip === "::" || ip === "";

function split(text: string): { ip: string; port: string } {
  const at = text.lastIndexOf(":");
  return { ip: text.slice(0, at), port: text.slice(at + 1) };
}

import type { NodeView } from "@gantry/contracts";
import { reservedOn } from "./candidates.ts";
import type { Context } from "./context.ts";
import type { NodeRecord } from "./domain/node.ts";
import type { ContainerRecord } from "./domain/record.ts";
import { isRunning } from "./domain/state.ts";

/** A node for those who ask, with what its containers have of it. `containers`: all that are on it. */
export function nodeView(context: Context, { description, registeredAt, state, since, availability }: NodeRecord, containers: readonly ContainerRecord[]): NodeView {
  const { nodeId, hostname, address, labels, platform, version = "", storage, cpus, memoryBytes } = description;
  const load = state === "ready" ? context.liveness.load(nodeId) : null;
  const reserved = reservedOn(context, containers);
  return {
    id: nodeId, name: hostname, address, state, since, availability, registeredAt, version, labels, platform,
    capacity: { cpus, memoryBytes, diskBytes: storage?.totalBytes ?? null },
    reserved: { cpus: Math.round(reserved.cpus * 1000) / 1000, memoryBytes: reserved.memoryBytes },
    used: { memoryBytes: load?.memoryUsedBytes ?? null, cpuLoad: load?.cpuLoad ?? null, diskFreeBytes: load?.diskFreeBytes ?? null },
    containers: { total: containers.length, running: containers.filter((c) => isRunning(c.state)).length },
  };
}

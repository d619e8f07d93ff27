import type { NodeDescription, PortMap } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { Context } from "./context.ts";
import type { Candidate } from "./domain/placement.ts";
import type { ContainerRecord } from "./domain/record.ts";
import { isRunning } from "./domain/state.ts";
import { listContainers } from "./store/containers.ts";
import { listNodes } from "./store/nodes.ts";
import type { SchedulerTables } from "./store/schema.ts";

/** The nodes as placement sees them. With one node there is nothing to weigh, and its containers are not read. */
export async function candidates(context: Context, tx: Kysely<SchedulerTables>): Promise<Candidate[]> {
  const nodes = await listNodes(tx);
  const containers = nodes.length > 1 ? await listContainers(tx, null) : [];
  return nodes.map((node) => candidate(context, node, containers.filter((c) => c.nodeId === node.nodeId)));
}

function candidate(context: Context, node: NodeDescription, containers: readonly ContainerRecord[]): Candidate {
  const running = containers.filter((c) => isRunning(c.state));
  return {
    nodeId: node.nodeId, alive: context.liveness.isAlive(node.nodeId), cpus: node.cpus, memoryBytes: node.memoryBytes, labels: node.labels,
    containers: running.length,
    reservedMemory: running.reduce((sum, c) => sum + c.spec.hostConfig.Memory, 0),
    reservedCpus: running.reduce((sum, c) => sum + c.spec.hostConfig.NanoCpus / 1e9, 0),
    ports: new Set(running.flatMap((c) => Object.entries(c.state.ports as PortMap).flatMap(([port, bindings]) =>
      (bindings ?? []).map((b) => `${b.HostIp || "0.0.0.0"}:${b.HostPort}/${port.split("/")[1]}`)))),
    images: new Set(containers.map((c) => c.imageId)),
  };
}

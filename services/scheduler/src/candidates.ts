import type { PortMap } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { Context } from "./context.ts";
import { fixedPorts, occupies, reservedBy, type Resources } from "./domain/demand.ts";
import type { NodeRecord } from "./domain/node.ts";
import type { Candidate } from "./domain/placement.ts";
import { architectureOf } from "./domain/image-platform.ts";
import type { ContainerRecord } from "./domain/record.ts";
import { isRunning } from "./domain/state.ts";
import { listContainers } from "./store/containers.ts";
import { listNodes } from "./store/nodes.ts";
import type { SchedulerTables } from "./store/schema.ts";

const OCCUPYING = ["created", "running", "paused", "restarting"];

/** The nodes as placement sees them. With one node, of which nothing is set aside, there is nothing to weigh, and its containers are not read. */
export async function candidates(context: Context, tx: Kysely<SchedulerTables>, reserve: Resources): Promise<Candidate[]> {
  const nodes = await listNodes(tx);
  const weighed = nodes.length > 1 || reserve.memoryBytes > 0 || reserve.cpus > 0;
  const containers = weighed ? await listContainers(tx, OCCUPYING) : [];
  return nodes.map((node) => candidate(context, node, containers.filter((c) => c.nodeId === node.description.nodeId)));
}

function candidate(context: Context, { description, availability, state, since }: NodeRecord, containers: readonly ContainerRecord[]): Candidate {
  const { nodeId, hostname, cpus, memoryBytes, labels, platform } = description;
  const alive = context.liveness.isAlive(nodeId);
  return {
    nodeId, hostname, alive, since: state === "unreachable" ? since : "", availability, cpus, memoryBytes, labels,
    os: textOf(platform["osType"]), architecture: architectureOf(textOf(platform["architecture"])),
    containers: containers.length, reserved: reservedOn(context, containers), ports: containers.flatMap(portsOf), images: new Set(containers.map((c) => c.imageId)),
  };
}

const textOf = (value: unknown) => (typeof value === "string" ? value : "");

/** What is set aside for these containers of one node. */
export function reservedOn(context: Context, containers: readonly ContainerRecord[]): Resources {
  const all = containers.filter(occupies).map((c) => reservedBy(c.spec.hostConfig, context.reserve));
  return { memoryBytes: all.reduce((sum, r) => sum + r.memoryBytes, 0), cpus: all.reduce((sum, r) => sum + r.cpus, 0) };
}

/** Those it has; of a container that does not run, those it will ask for. */
function portsOf(record: ContainerRecord): { port: string; container: string }[] {
  const had = Object.entries(record.state.ports as PortMap).flatMap(([port, bindings]) =>
    (bindings ?? []).map((b) => `${b.HostIp || "0.0.0.0"}:${b.HostPort}/${port.split("/")[1] ?? "tcp"}`));
  return (isRunning(record.state) ? had : fixedPorts(record.spec.hostConfig)).map((port) => ({ port, container: record.name }));
}

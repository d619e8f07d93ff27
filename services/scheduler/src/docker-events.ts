import { dockerEvent, type DockerEvent, type NetworkResource, type NodeDescription } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import type { OutboxWriter } from "@gantry/database";
import type { ContainerRecord } from "./domain/record.ts";

/** Publishes Docker's events in the shape of `GET /events`, with the transaction they belong to. */
export async function emit(outbox: OutboxWriter, clock: Clock, type: DockerEvent["Type"], action: string, id: string, attributes: Record<string, string>): Promise<void> {
  const nano = clock.nowNano();
  await outbox.publish(dockerEvent, {
    Type: type, Action: action, Actor: { ID: id, Attributes: attributes }, scope: "local", time: Number(nano / 1_000_000_000n), timeNano: Number(nano),
  });
}

/** Labels, then image and name, then what is special to the action: as Docker's. */
export function containerAttributes(record: ContainerRecord, more: Record<string, string>): Record<string, string> {
  return { ...record.spec.config.Labels, image: record.spec.config.Image, name: record.name, ...more };
}

export function emitContainer(outbox: OutboxWriter, clock: Clock, record: ContainerRecord, action: string, more: Record<string, string> = {}): Promise<void> {
  return emit(outbox, clock, "container", action, record.id, containerAttributes(record, more));
}

export function emitNetwork(outbox: OutboxWriter, clock: Clock, network: Pick<NetworkResource, "Id" | "Name" | "Driver">, action: string, more: Record<string, string> = {}): Promise<void> {
  return emit(outbox, clock, "network", action, network.Id, { name: network.Name, type: network.Driver, ...more });
}

/** As Swarm's: `update` with what changed, `state.new` being `ready` or `down`. */
export function emitNode(outbox: OutboxWriter, clock: Clock, node: NodeDescription, changes: Record<string, string>, action: "create" | "update" = "update"): Promise<void> {
  return emit(outbox, clock, "node", action, node.nodeId, { name: node.hostname, ...changes });
}

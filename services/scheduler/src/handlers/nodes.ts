import { on, type Route } from "@gantry/bus";
import { nodeHeartbeat, nodeRegister, nodeResync, type NodeDescription } from "@gantry/contracts";
import { newId, rfc3339Nano } from "@gantry/kernel";
import { defaultGateway, pickSubnet, subnetsOverlap } from "@gantry/network";
import type { Kysely } from "kysely";
import { applyState } from "../apply-state.ts";
import { callNode, type Context } from "../context.ts";
import { emitContainer } from "../docker-events.ts";
import { activeOn, predefinedNetworks } from "../domain/network.ts";
import { compareTimes } from "../domain/time.ts";
import { lost } from "../domain/state.ts";
import { HEARTBEAT_MS } from "../node-liveness.ts";
import { containersOnNode, deleteContainer, getContainer, listContainers } from "../store/containers.ts";
import { insertNetwork, listNetworks, saveNetwork } from "../store/networks.ts";
import { getNode, listNodes, saveNode } from "../store/nodes.ts";
import type { SchedulerTables } from "../store/schema.ts";
import { afterState } from "./auto-remove.ts";

const RESYNC_TIMEOUT_MS = 60_000;

function subnetsOf(node: NodeDescription): string[] {
  const subnets = node.platform["subnets"];
  return Array.isArray(subnets) ? subnets.filter((subnet) => typeof subnet === "string") : [];
}

/** What a new network must not overlap: other networks, and what the hosts use themselves. */
export async function usedSubnets(tx: Kysely<SchedulerTables>): Promise<string[]> {
  const networks = (await listNetworks(tx)).flatMap((network) => network.IPAM.Config.map((pool) => pool.Subnet));
  return [...networks, ...(await listNodes(tx)).flatMap(subnetsOf)];
}

/**
 * Records and reports agree again: newer states are taken, containers the node has no more are marked (or, if they were run
 * with --rm, taken off the list), and `--rm` containers that ended meanwhile are removed.
 */
export async function resync(context: Context, nodeId: string): Promise<void> {
  const before = await containersOnNode(context.database.query, nodeId);
  const { containers } = await callNode(context, nodeId, nodeResync, { epoch: context.leader.epoch }, { timeoutMs: RESYNC_TIMEOUT_MS });
  const reported = new Map(containers.map((c) => [c.id, c]));
  const now = rfc3339Nano(context.clock.nowNano());
  for (const record of before) {
    const report = reported.get(record.id);
    reported.delete(record.id);
    const after = await context.leader.transaction(async (tx, outbox) => {
      const current = await getContainer(tx, record.id);
      if (current === null) return null;
      if (report !== undefined) {
        await applyState(tx, outbox, context.clock, record.id, report.state, report.seq);
      } else if (current.seq === 0 && compareTimes(current.created, context.startedAt) < 0) {
        // Its creation was under way when an earlier scheduler ended.
        await deleteContainer(tx, record.id);
      } else if (current.seq > 0 && current.spec.hostConfig.AutoRemove) {
        await deleteContainer(tx, record.id);
        await emitContainer(outbox, context.clock, current, "destroy");
      } else if (current.seq > 0 && current.seq === record.seq) {
        await applyState(tx, outbox, context.clock, record.id, lost(current.state, now), current.seq + 1);
      }
      return getContainer(tx, record.id);
    });
    if (after !== null) afterState(context, after);
  }
  for (const id of reported.keys()) context.logger.warn({ nodeId, container: id }, "the node has a container that no record knows; it is left alone");
}

export function nodeRoutes(context: Context): Route[] {
  return [on(nodeRegister, async (description) => {
    const now = rfc3339Nano(context.clock.nowNano());
    await context.leader.transaction(async (tx) => {
      await saveNode(tx, description, now);
      if ((await listNetworks(tx)).length === 0) {
        for (const network of predefinedNetworks(newId, now, await usedSubnets(tx))) await insertNetwork(tx, network);
      } else {
        await moveDefaultBridge(tx, subnetsOf(description));
      }
    });
    context.liveness.hear(description.nodeId, { running: 0, memoryUsedBytes: 0 });
    // After the reply, so that the node knows its epoch first.
    setImmediate(() => {
      resync(context, description.nodeId).catch((e: unknown) => context.logger.warn({ err: e, nodeId: description.nodeId }, "could not reconcile with a node that registered"));
    });
    const networks = (await listNetworks(context.database.query)).filter((network) => network.Driver === "bridge").map((network) => ({ ...network }));
    return { epoch: context.leader.epoch, heartbeatMs: HEARTBEAT_MS, networks };
  })];
}

/** The default bridge's subnet was picked, not asked for: when a host has come to use it otherwise and no container is on it, it gets another. */
async function moveDefaultBridge(tx: Kysely<SchedulerTables>, hostSubnets: readonly string[]): Promise<void> {
  const bridge = (await listNetworks(tx)).find((network) => network.Name === "bridge");
  const taken = bridge?.IPAM.Config.some((pool) => hostSubnets.some((subnet) => subnetsOverlap(subnet, pool.Subnet)));
  if (!bridge || !taken || activeOn(bridge, await listContainers(tx, ["running", "paused"])).length > 0) return;
  const subnet = pickSubnet(await usedSubnets(tx));
  await saveNetwork(tx, { ...bridge, IPAM: { ...bridge.IPAM, Config: [{ Subnet: subnet, Gateway: defaultGateway(subnet) }] } });
}

/** Heard by every scheduler, so that one that takes over knows the nodes. */
export function heartbeatRoute(context: Context): Route {
  return on(nodeHeartbeat, async (beat) => {
    const wasAlive = context.liveness.isAlive(beat.nodeId);
    context.liveness.hear(beat.nodeId, beat);
    // Back after a silence: its reports may have been lost.
    if (!wasAlive && await getNode(context.database.query, beat.nodeId) !== null) {
      resync(context, beat.nodeId).catch((e: unknown) => context.logger.warn({ err: e, nodeId: beat.nodeId }, "could not reconcile with a node that came back"));
    }
    return beat;
  });
}

import { on, type Route } from "@gantry/bus";
import { nodeHeartbeat, nodeInspect, nodeList, nodeRegister, nodeUpdate, type NodeDescription, type NodeView } from "@gantry/contracts";
import { newId, rfc3339Nano } from "@gantry/kernel";
import { defaultGateway, pickSubnet, subnetsOverlap } from "@gantry/network";
import type { Kysely } from "kysely";
import type { Context } from "../context.ts";
import { emitNode } from "../docker-events.ts";
import { activeOn, predefinedNetworks } from "../domain/network.ts";
import type { NodeRecord } from "../domain/node.ts";
import { HEARTBEAT_MS } from "../node-liveness.ts";
import { nodeView } from "../node-view.ts";
import { resyncSoon } from "../resync.ts";
import { containersOnNode, listContainers } from "../store/containers.ts";
import { insertNetwork, listNetworks, saveNetwork } from "../store/networks.ts";
import { getNode, listNodes, resolveNode, saveAvailability, saveNode } from "../store/nodes.ts";
import type { SchedulerTables } from "../store/schema.ts";

function subnetsOf(node: NodeDescription): string[] {
  const subnets = node.platform["subnets"];
  return Array.isArray(subnets) ? subnets.filter((subnet) => typeof subnet === "string") : [];
}

/** What a new network must not overlap: other networks, and what the hosts use themselves. */
export async function usedSubnets(tx: Kysely<SchedulerTables>): Promise<string[]> {
  const networks = (await listNetworks(tx)).flatMap((network) => network.IPAM.Config.map((pool) => pool.Subnet));
  return [...networks, ...(await listNodes(tx)).flatMap(({ description }) => subnetsOf(description))];
}

/** What nodes tell, and what is decided about them. */
export function nodeRoutes(context: Context): Route[] {
  const { leader } = context;
  return [
    on(nodeRegister, async (description) => {
      const now = rfc3339Nano(context.clock.nowNano());
      await leader.transaction(async (tx, outbox) => {
        const before = await getNode(tx, description.nodeId);
        await saveNode(tx, description, now);
        if (before?.state === "unreachable") await emitNode(outbox, context.clock, description, { "state.new": "ready", "state.old": "down" });
        else if (before === null) await emitNode(outbox, context.clock, description, {}, "create");
        if ((await listNetworks(tx)).length === 0) {
          for (const network of predefinedNetworks(newId, now, await usedSubnets(tx))) await insertNetwork(tx, network);
        } else {
          await moveDefaultBridge(tx, subnetsOf(description));
        }
      });
      context.liveness.hear(description.nodeId, null);
      // After the reply, so that the node knows its epoch first.
      setImmediate(() => resyncSoon(context, description.nodeId));
      const networks = (await listNetworks(context.database.query)).filter((network) => network.Driver === "bridge").map((network) => ({ ...network }));
      return { epoch: leader.epoch, heartbeatMs: HEARTBEAT_MS, networks };
    }),

    on(nodeUpdate, async ({ ref, availability }) => {
      const now = rfc3339Nano(context.clock.nowNano());
      const node = await leader.transaction(async (tx, outbox) => {
        const known = await resolveNode(tx, ref);
        if (known.availability === availability) return known;
        await saveAvailability(tx, known.description.nodeId, availability, now);
        await emitNode(outbox, context.clock, known.description, { "availability.new": availability, "availability.old": known.availability });
        return { ...known, availability, availableSince: now };
      });
      return { node: await viewOf(context, node) };
    }),
  ];
}

/** What is known of nodes. */
export function nodeReadRoutes(context: Context): Route[] {
  const db = context.database.query;
  return [
    on(nodeList, async () => {
      const [nodes, containers] = await Promise.all([listNodes(db), listContainers(db, null)]);
      return { nodes: nodes.map((node) => nodeView(context, node, containers.filter((c) => c.nodeId === node.description.nodeId))) };
    }),
    on(nodeInspect, async ({ ref }) => ({ node: await viewOf(context, await resolveNode(db, ref)) })),
  ];
}

async function viewOf(context: Context, node: NodeRecord): Promise<NodeView> {
  return nodeView(context, node, await containersOnNode(context.database.query, node.description.nodeId));
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
    const { nodeId, running, memoryUsedBytes, cpuLoad = 0, diskFreeBytes = null } = beat;
    const wasAlive = context.liveness.isAlive(nodeId);
    context.liveness.hear(nodeId, { running, memoryUsedBytes, cpuLoad, diskFreeBytes });
    // Back after a silence: its reports may have been lost.
    if (!wasAlive && !context.leader.term.aborted && await getNode(context.database.query, nodeId) !== null) resyncSoon(context, nodeId);
    return beat;
  });
}

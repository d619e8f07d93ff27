import { on, type Route } from "@gantry/bus";
import {
  fail, networkConnect, networkCreate, networkDisconnect, networkInspect, networkList, networkPrune, networkRemove, nodeNetworkConnect, nodeNetworkCreate,
  nodeNetworkDisconnect, nodeNetworkRemove, type EndpointSettings, type NetworkResource,
} from "@gantry/contracts";
import { isGantryError, rfc3339Nano } from "@gantry/kernel";
import { callNode, type Context } from "../context.ts";
import { emitNetwork } from "../docker-events.ts";
import { checkEndpoint, readEndpoint } from "../domain/endpoints.ts";
import { checkFilters, matchesLabels } from "../domain/filters.ts";
import { activeOn, asksForSubnet, isPredefined, matchesNetwork, networkFromBody, networkView } from "../domain/network.ts";
import { string, type Json } from "../domain/read.ts";
import { isRunning } from "../domain/state.ts";
import { untilMillis } from "../domain/until.ts";
import { getContainer, listContainers, resolveContainer, saveSpec, saveState } from "../store/containers.ts";
import { deleteNetwork, insertNetwork, listNetworks, resolveNetwork } from "../store/networks.ts";
import { listNodes } from "../store/nodes.ts";
import { usedSubnets } from "./nodes.ts";

/** Picks of a subnet before the error of the host is the answer. */
const ATTEMPTS = 5;

async function removeNetwork(context: Context, network: NetworkResource): Promise<void> {
  if (isPredefined(network)) throw fail("FORBIDDEN", `${network.Name} is a pre-defined network and cannot be removed`);
  const active = activeOn(network, await listContainers(context.database.query, ["running", "paused"]));
  if (active.length > 0) {
    const names = active.map(({ record, endpoint }) => `name:"${record.name}" id:"${endpoint.EndpointID.slice(0, 12)}"`).join(", ");
    throw fail("FORBIDDEN", `error while removing network: network ${network.Name} has active endpoints (${names})`);
  }
  for (const { description: node } of await listNodes(context.database.query)) {
    // A node that is away removes what nobody uses when it comes back.
    await callNode(context, node.nodeId, nodeNetworkRemove, { networkId: network.Id, epoch: context.leader.epoch }).catch((e: unknown) => {
      if (!isGantryError(e, "NODE_UNREACHABLE") && !isGantryError(e, "NO_SUCH_NETWORK")) throw e;
    });
  }
  await context.leader.transaction(async (tx, outbox) => {
    await deleteNetwork(tx, network.Id);
    await emitNetwork(outbox, context.clock, network, "destroy");
  });
}

/** Recorded first, which reserves name and subnet; then made on the nodes. A picked subnet that a host uses is exchanged for another. */
async function createNetwork(context: Context, id: string, body: Json): Promise<void> {
  const inUse: string[] = [];
  for (let attempt = 1; ; attempt++) {
    const network = await context.leader.transaction(async (tx) => {
      const networks = await listNetworks(tx);
      const known = networks.find((other) => other.Id === id);
      if (known) return null;
      const name = string(body, "Name");
      if (networks.some((other) => other.Name === name && !isPredefined(other))) throw fail("CONFLICT", `network with name ${name} already exists`);
      const made = networkFromBody(body, { id, created: rfc3339Nano(context.clock.nowNano()) }, await usedSubnets(tx), inUse);
      await insertNetwork(tx, made);
      return made;
    });
    if (network === null) return;
    try {
      for (const { description: { nodeId } } of await listNodes(context.database.query)) {
        if (context.liveness.isAlive(nodeId)) await callNode(context, nodeId, nodeNetworkCreate, { network: { ...network }, unused: !asksForSubnet(body), epoch: context.leader.epoch });
      }
      await context.leader.transaction((_tx, outbox) => emitNetwork(outbox, context.clock, network, "create"));
      return;
    } catch (e) {
      await context.leader.transaction((tx) => deleteNetwork(tx, id));
      const subnets = isGantryError(e, "CONFLICT") ? e.details["subnets"] : undefined;
      if (!Array.isArray(subnets) || attempt === ATTEMPTS) throw e;
      inUse.push(...subnets.filter((subnet) => typeof subnet === "string"));
    }
  }
}

export function networkRoutes(context: Context): Route[] {
  const db = context.database.query;
  return [
    on(networkCreate, async ({ id, body }) => {
      await createNetwork(context, id, body);
      return { id, warning: "" };
    }),

    on(networkInspect, async ({ ref }) => {
      const network = await resolveNetwork(db, ref);
      return { network: networkView(network, await listContainers(db, ["running", "paused"])) };
    }),

    on(networkList, async ({ filters }) => {
      const containers = filters["dangling"] ? await listContainers(db, null) : [];
      const used = new Set(containers.flatMap((record) => record.spec.networks.map((n) => n.id)));
      return { networks: (await listNetworks(db)).filter((network) => matchesNetwork(network, filters, used)).map((network) => ({ ...network, Containers: {} })) };
    }),

    on(networkRemove, async ({ ref }) => {
      await removeNetwork(context, await resolveNetwork(db, ref));
      return {};
    }),

    on(networkPrune, async ({ filters }) => {
      checkFilters(filters, new Set(["label", "label!", "until"]));
      const until = untilMillis(filters["until"] ?? [], context.clock.now());
      const used = new Set((await listContainers(db, null)).flatMap((record) => record.spec.networks.map((n) => n.id)));
      const names: string[] = [];
      for (const network of await listNetworks(db)) {
        if (isPredefined(network) || used.has(network.Id) || (until !== null && Date.parse(network.Created) >= until)) continue;
        if (!matchesLabels(network.Labels, filters["label"] ?? []) || (filters["label!"] ?? []).some((l) => matchesLabels(network.Labels, [l]))) continue;
        await removeNetwork(context, network);
        names.push(network.Name);
      }
      return { names };
    }),

    on(networkConnect, async ({ ref, container, endpoint: given }, { redelivered }) => {
      const network = await resolveNetwork(db, ref);
      const record = await resolveContainer(db, container);
      const endpoint = readEndpoint(given ?? {});
      checkEndpoint(network, endpoint);
      const mode = record.spec.hostConfig.NetworkMode;
      if (mode === "host" || network.Driver === "host") throw fail("INVALID", "container cannot be disconnected from host network or connected to host network");
      if (mode.startsWith("container:")) throw fail("INVALID", "container sharing network namespace with another container or host cannot be connected to any other network");
      if (record.spec.networks.some((n) => n.id === network.Id)) {
        if (redelivered) return {};
        throw fail("FORBIDDEN", `endpoint with name ${record.name} already exists in network ${network.Name}`);
      }
      const home = network.Driver === "bridge" && !isPredefined(network) ? (await listContainers(db, null)).find((c) => c.spec.networks.some((n) => n.id === network.Id)) : undefined;
      if (home !== undefined && home.nodeId !== record.nodeId) {
        throw fail("FORBIDDEN", `container ${record.name} is on node ${record.nodeId}, network ${network.Name} on node ${home.nodeId} with container ${home.name}: a bridge network is one node's`);
      }
      const reply = await callNode(context, record.nodeId, nodeNetworkConnect, { containerId: record.id, epoch: context.leader.epoch, network: { ...network }, endpoint: { ...endpoint } });
      await context.leader.transaction(async (tx, outbox) => {
        const now = await getContainer(tx, record.id);
        if (now === null) return;
        // `--network none` ends with the first real network.
        const others = now.spec.networks.filter((n) => n.name !== "none");
        await saveSpec(tx, now.id, { ...now.spec, networks: [...others, { id: network.Id, name: network.Name, endpoint }] });
        await saveState(tx, now.id, { ...now.state, networks: { ...now.state.networks, [network.Name]: reply.endpoint } }, now.seq);
        if (isRunning(now.state)) await emitNetwork(outbox, context.clock, network, "connect", { container: now.id });
      });
      return {};
    }),

    on(networkDisconnect, async ({ ref, container, force }, { redelivered }) => {
      const network = await resolveNetwork(db, ref);
      const record = await resolveContainer(db, container).catch((e: unknown) => {
        if (force && isGantryError(e, "NO_SUCH_CONTAINER")) return null;
        throw e;
      });
      if (record === null) return {};
      if (record.spec.hostConfig.NetworkMode === "host" && network.Driver === "host") throw fail("INVALID", "container cannot be disconnected from host network or connected to host network");
      if (!record.spec.networks.some((n) => n.id === network.Id)) {
        if (redelivered) return {};
        throw fail("FORBIDDEN", `container ${record.id} is not connected to network ${network.Name}`);
      }
      await callNode(context, record.nodeId, nodeNetworkDisconnect, { containerId: record.id, epoch: context.leader.epoch, networkId: network.Id });
      await context.leader.transaction(async (tx, outbox) => {
        const now = await getContainer(tx, record.id);
        if (now === null) return;
        await saveSpec(tx, now.id, { ...now.spec, networks: now.spec.networks.filter((n) => n.id !== network.Id) });
        const networks = Object.fromEntries(Object.entries(now.state.networks as Record<string, EndpointSettings>).filter(([name]) => name !== network.Name));
        await saveState(tx, now.id, { ...now.state, networks }, now.seq);
        if (isRunning(now.state)) await emitNetwork(outbox, context.clock, network, "disconnect", { container: now.id });
      });
      return {};
    }),
  ];
}

import { on, type Route } from "@gantry/bus";
import {
  fail, nodeNetworkConnect, nodeNetworkCreate, nodeNetworkDisconnect, nodeNetworkRemove, nodeVolumeCreate, nodeVolumeRemove, type EndpointSettings, type NetworkResource,
} from "@gantry/contracts";
import { checkEpoch, entryOf, type Agent } from "../context.ts";
import type { Attachment, Entry } from "../model.ts";
import { allocate, dnsRecords, idleSettings, keepNetwork, shownSettings, useEmbeddedDns } from "../networking.ts";
import { change } from "../reports.ts";
import { serveNames } from "../start.ts";
import { hostnameOf } from "../hostname.ts";

const settingsOf = (entry: Entry) => entry.stored.state.networks as Record<string, EndpointSettings>;

/** A network more for a container: an interface at once if it runs, else at its next start. */
async function connect(agent: Agent, entry: Entry, attachment: Attachment): Promise<EndpointSettings> {
  const { network } = attachment;
  if (entry.stored.networks.some((known) => known.network.Id === network.Id)) return settingsOf(entry)[network.Name] ?? idleSettings(attachment);
  const hadNames = Object.values(settingsOf(entry)).some((known) => known.DNSNames !== null);
  let settings = idleSettings(attachment);
  if (entry.running) {
    const index = nextIndex(entry);
    const endpoint = await allocate(agent, { entry, hostname: hostnameOf(agent, entry) }, attachment, index, !hasGateway(entry));
    if (!endpoint) throw fail("FORBIDDEN", `a running container cannot be connected to the ${network.Driver} network`);
    try {
      await agent.network.connect(endpoint, entry.running.pid);
    } catch (e) {
      agent.network.release(entry.id, network.Id);
      throw e;
    }
    settings = shownSettings(attachment, endpoint);
  }
  entry.stored.networks = [...entry.stored.networks.filter((known) => known.network.Driver !== "null"), attachment];
  const { none: _none, ...others } = settingsOf(entry);
  change(agent, entry, { networks: { ...others, [network.Name]: settings } });
  if (entry.running) {
    const named = settings.DNSNames !== null;
    if (named && !hadNames) {
      await serveNames(agent, entry, entry.running, { settings: settingsOf(entry), dns: true });
      await useEmbeddedDns(entry);
    } else {
      agent.network.register(entry.id, dnsRecords(settingsOf(entry)));
    }
  }
  await agent.store.save(entry.id, entry.stored);
  return settings;
}

const hasGateway = (entry: Entry) => Object.values(settingsOf(entry)).some((settings) => settings.Gateway !== "");
/** Interfaces are numbered in the order of connecting, and numbers of gone ones are not given again. */
const nextIndex = (entry: Entry) => entry.stored.networks.filter(({ network }) => network.Driver === "bridge").length;

async function disconnect(agent: Agent, entry: Entry, networkId: string): Promise<void> {
  const attachment = entry.stored.networks.find(({ network }) => network.Id === networkId);
  if (!attachment) return;
  if (entry.running) {
    await agent.network.disconnect(entry.id, networkId);
    agent.network.release(entry.id, networkId);
  }
  entry.stored.networks = entry.stored.networks.filter(({ network }) => network.Id !== networkId);
  const { [attachment.network.Name]: _gone, ...others } = settingsOf(entry);
  change(agent, entry, { networks: others });
  if (entry.running) agent.network.register(entry.id, dnsRecords(others));
  await agent.store.save(entry.id, entry.stored);
}

export function networkRoutes(agent: Agent): Route[] {
  return [
    on(nodeNetworkCreate, async ({ network, unused, epoch = agent.epoch }) => {
      checkEpoch(agent, epoch);
      await keepNetwork(agent, network as unknown as NetworkResource, unused);
      return {};
    }),
    on(nodeNetworkRemove, async ({ networkId, epoch = agent.epoch }) => {
      checkEpoch(agent, epoch);
      agent.ensured.delete(networkId);
      agent.heard.delete(networkId);
      await agent.network.removeNetwork(networkId);
      return {};
    }),
    on(nodeNetworkConnect, async ({ containerId, epoch, network, endpoint }) => {
      checkEpoch(agent, epoch);
      const entry = entryOf(agent, containerId);
      agent.heard.set(String(network["Id"]), network as unknown as NetworkResource);
      const attachment = { network: network as unknown as NetworkResource, endpoint: endpoint as unknown as EndpointSettings };
      return { endpoint: { ...await agent.order.run(containerId, () => connect(agent, entry, attachment)) } };
    }),
    on(nodeNetworkDisconnect, async ({ containerId, epoch, networkId }) => {
      checkEpoch(agent, epoch);
      const entry = entryOf(agent, containerId);
      await agent.order.run(containerId, () => disconnect(agent, entry, networkId));
      return {};
    }),
  ];
}

export function volumeRoutes(agent: Agent): Route[] {
  return [
    on(nodeVolumeCreate, async ({ name, options, epoch = agent.epoch }) => {
      checkEpoch(agent, epoch);
      if (Object.keys(options).length > 0) throw fail("NOT_IMPLEMENTED", "options of the local volume driver are not there yet");
      return { mountpoint: (await agent.volumes.ensure(name)).path };
    }),
    on(nodeVolumeRemove, async ({ name, epoch = agent.epoch }) => {
      checkEpoch(agent, epoch);
      const user = [...agent.entries.values()].find((entry) => entry.spec.mounts.some((mount) => mount.Type === "volume" && mount.Name === name));
      if (user) throw fail("CONFLICT", `remove ${name}: volume is in use - [${user.id}]`);
      await agent.volumes.remove(name);
      return {};
    }),
  ];
}

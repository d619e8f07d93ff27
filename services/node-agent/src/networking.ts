import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fail, type EndpointSettings, type NetworkResource } from "@gantry/contracts";
import { newId } from "@gantry/kernel";
import {
  renderHostname, renderHosts, renderHostsOfHost, renderResolvConf, subnetsOverlap, type DnsRecord, type Endpoint, type HostNetwork, type PortBinding,
} from "@gantry/network";
import { gatewayNetwork, isDefaultBridge, networkConfig, portRequests } from "./domain/network-config.ts";
import type { Attachment, Entry } from "./model.ts";

export interface Connected {
  readonly endpoints: readonly Endpoint[];
  /** Network name → settings, as inspect shows them. */
  readonly settings: Record<string, EndpointSettings>;
  readonly bindings: readonly PortBinding[];
  readonly dns: boolean;
}

export interface Host {
  readonly network: HostNetwork;
  readonly instance: string;
  /** Networks whose bridge was seen to, by ID: asking the kernel waits for whatever namespaces it is taking down. */
  readonly ensured: Map<string, string>;
  /** What was heard last of each network, by ID: a container that stood still for long may know an earlier subnet. */
  readonly heard: Map<string, NetworkResource>;
}

export interface Named { readonly entry: Entry; readonly hostname: string }

const NOTHING: EndpointSettings = {
  IPAMConfig: null, Links: null, Aliases: null, MacAddress: "", DriverOpts: null, GwPriority: 0, NetworkID: "", EndpointID: "", Gateway: "", IPAddress: "",
  IPPrefixLen: 0, IPv6Gateway: "", GlobalIPv6Address: "", GlobalIPv6PrefixLen: 0, DNSNames: null,
};

/** Settings of a network that the container is connected to while it does not run. */
export function idleSettings({ network, endpoint }: Attachment): EndpointSettings {
  return { ...NOTHING, IPAMConfig: endpoint.IPAMConfig, Links: endpoint.Links, Aliases: endpoint.Aliases, DriverOpts: endpoint.DriverOpts,
    GwPriority: endpoint.GwPriority, MacAddress: "", NetworkID: network.Id };
}

/** Subnets of the host that are not ours. */
export async function foreignSubnets(network: HostNetwork): Promise<string[]> {
  const own = new Set(network.networks().flatMap((config) => [config.subnet, ...(config.ipv6 ? [config.ipv6.subnet] : [])]));
  return (await network.usedSubnets()).filter((subnet) => !own.has(subnet));
}

/** Makes the bridge of a network before any container needs it. `unused`: CONFLICT where the host has its subnet. */
export async function keepNetwork({ network, instance, ensured, heard }: Host, resource: NetworkResource, unused: boolean): Promise<void> {
  const config = networkConfig(resource, instance);
  if (config === null) return;
  if (unused) {
    const subnets = await foreignSubnets(network);
    if (subnets.some((subnet) => subnetsOverlap(subnet, config.subnet))) {
      throw fail("CONFLICT", `the host uses a subnet that overlaps ${config.subnet}`, { details: { subnets } });
    }
  }
  heard.set(resource.Id, resource);
  await network.ensureNetwork(config);
  ensured.set(config.id, JSON.stringify(config));
}

/** Bridge and address for one network of a container; null for `host` and `none`. */
export async function allocate({ network, instance, ensured }: Host, { entry, hostname }: Named, attachment: Attachment, index: number, defaultRoute: boolean): Promise<Endpoint | null> {
  const config = networkConfig(attachment.network, instance);
  if (config === null) return null;
  const text = JSON.stringify(config);
  if (ensured.get(config.id) !== text) {
    await network.ensureNetwork(config);
    ensured.set(config.id, text);
  }
  const { endpoint } = attachment;
  const filled = (text: string | undefined) => (text === undefined || text === "" ? null : text);
  return network.allocate({
    networkId: config.id, containerId: entry.id, containerName: entry.stored.name, hostname, ip: filled(endpoint.IPAMConfig?.IPv4Address), ip6: filled(endpoint.IPAMConfig?.IPv6Address),
    mac: filled(endpoint.MacAddress), aliases: endpoint.Aliases ?? [], index, defaultRoute, dns: !isDefaultBridge(attachment.network),
  });
}

export const shownSettings = (attachment: Attachment, endpoint: Endpoint): EndpointSettings => ({
  ...idleSettings(attachment), ...endpoint.settings, GwPriority: attachment.endpoint.GwPriority, Links: attachment.endpoint.Links, DriverOpts: attachment.endpoint.DriverOpts,
  IPAMConfig: attachment.endpoint.IPAMConfig,
});

/** Addresses on every network and published ports, all or none. The interfaces are made by the runtime. */
export async function connectAll(host: Host, named: Named): Promise<Connected> {
  const { network } = host;
  const { entry } = named;
  const { networks } = entry.stored;
  const gateway = gatewayNetwork(networks);
  const endpoints: Endpoint[] = [];
  const settings: Record<string, EndpointSettings> = {};
  try {
    for (const attachment of networks) {
      const endpoint = await allocate(host, named, attachment, endpoints.length, attachment.network.Id === gateway);
      if (endpoint) endpoints.push(endpoint);
      settings[attachment.network.Name] = endpoint ? shownSettings(attachment, endpoint) : { ...idleSettings(attachment), EndpointID: newId() };
    }
    const bindings = await publish(network, entry, endpoints, gateway);
    return { endpoints, settings, bindings, dns: networks.some((a) => a.network.Driver === "bridge" && !isDefaultBridge(a.network)) };
  } catch (e) {
    network.release(entry.id, null);
    throw e;
  }
}

async function publish(network: HostNetwork, entry: Entry, endpoints: readonly Endpoint[], gateway: string | null): Promise<PortBinding[]> {
  const ports = portRequests(entry.spec.config, entry.spec.hostConfig);
  const way = endpoints.find((endpoint) => endpoint.networkId === gateway);
  if (ports.length === 0 || way === undefined) return [];
  return network.publish({
    containerId: entry.id, containerName: entry.stored.name, endpointId: way.settings.EndpointID, networkId: way.networkId,
    ip: way.settings.IPAddress, ip6: way.settings.GlobalIPv6Address === "" ? null : way.settings.GlobalIPv6Address, ports,
  });
}

/** The names under which others find the container. */
export function dnsRecords(settings: Readonly<Record<string, EndpointSettings>>): DnsRecord[] {
  return Object.values(settings).filter((endpoint) => endpoint.IPAddress !== "" && endpoint.DNSNames !== null).map((endpoint) => ({
    networkId: endpoint.NetworkID, ip: endpoint.IPAddress, ip6: endpoint.GlobalIPv6Address === "" ? null : endpoint.GlobalIPv6Address, names: endpoint.DNSNames ?? [],
  }));
}

export const FILES = { "/etc/resolv.conf": "resolv.conf", "/etc/hostname": "hostname", "/etc/hosts": "hosts" } as const;

/** Writes the three files of the network into the container's directory. `linked`: `--link` names with their addresses. */
export async function writeNetworkFiles(entry: Entry, hostname: string, connected: Connected, linked: readonly { name: string; ip: string }[]): Promise<void> {
  const { hostConfig: host, config } = entry.spec;
  const onHost = host.NetworkMode === "host";
  const addresses = connected.endpoints.flatMap(({ settings }) => [settings.IPAddress, settings.GlobalIPv6Address].filter((address) => address !== ""));
  const hostGateway = connected.endpoints.map(({ settings }) => settings.Gateway).find((address) => address !== "") ?? (onHost ? "127.0.0.1" : null);
  const extra = [...(host.ExtraHosts ?? []), ...linked.map(({ name, ip }) => `${name}:${ip}`)];
  const [hostsOfHost, resolvOfHost] = await Promise.all([onHost ? text("/etc/hosts") : "", text("/etc/resolv.conf")]);
  const files = {
    hosts: onHost ? renderHostsOfHost(hostsOfHost, extra, hostGateway)
      : renderHosts({ hostname, domainname: config.Domainname, addresses, extraHosts: extra, hostGateway }),
    hostname: renderHostname(hostname),
    "resolv.conf": renderResolvConf({ hostFile: resolvOfHost, mode: onHost ? "host" : connected.dns ? "embedded" : "direct", dns: host.Dns, search: host.DnsSearch, options: host.DnsOptions }),
  };
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(entry.dir, name), content, { mode: 0o644 })));
}

async function text(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

/** `<id>:alias` of `--link`, to the addresses of the containers that run. */
export function linkAddresses(entry: Entry, others: ReadonlyMap<string, Entry>): { name: string; ip: string }[] {
  return entry.stored.networks.flatMap(({ network, endpoint }) => (endpoint.Links ?? []).flatMap((link) => {
    const [ref = "", alias = ref] = link.split(":");
    const other = others.get(ref) ?? [...others.values()].find((candidate) => candidate.stored.name === ref);
    const ip = (other?.stored.state.networks as Record<string, EndpointSettings> | undefined)?.[network.Name]?.IPAddress ?? "";
    if (!other) return [];
    if (ip === "") throw fail("START_FAILED", `Cannot link to a non running container: /${other.stored.name} AS /${entry.stored.name}/${alias}`);
    return [...new Set([alias, other.stored.name, other.id.slice(0, 12)])].map((name) => ({ name, ip }));
  }));
}

/** A container that was started without names gets them with its first network that has some: its resolv.conf changes in place. */
export async function useEmbeddedDns(entry: Entry): Promise<void> {
  const { hostConfig: host } = entry.spec;
  const content = renderResolvConf({ hostFile: await text("/etc/resolv.conf"), mode: "embedded", dns: host.Dns, search: host.DnsSearch, options: host.DnsOptions });
  // In place: the container has this very file mounted.
  await writeFile(join(entry.dir, "resolv.conf"), content, { flag: "r+" });
  await truncate(join(entry.dir, "resolv.conf"), Buffer.byteLength(content));
}

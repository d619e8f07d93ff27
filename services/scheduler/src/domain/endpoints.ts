import type { EndpointIpamConfig, EndpointSettings, HostConfig, NetworkResource } from "@gantry/contracts";
import { fail } from "@gantry/contracts";
import { isIPv4, isIPv6 } from "./ip.ts";
import { nullable, object, integer, string, stringMap, strings, type Json } from "./read.ts";

/** The networks a container asks for: reference → settings, the network mode's own first. */
export type WantedNetworks = [reference: string, endpoint: EndpointSettings][];

const BUILT_IN = new Set(["bridge", "host", "none"]);

function readIpam(source: Json): EndpointIpamConfig {
  const v4 = string(source, "IPv4Address");
  const v6 = string(source, "IPv6Address");
  const linkLocal = strings(source, "LinkLocalIPs");
  return { ...(v4 === "" ? {} : { IPv4Address: v4 }), ...(v6 === "" ? {} : { IPv6Address: v6 }), ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal }) };
}

export function readEndpoint(source: Json): EndpointSettings {
  const ipam = source["IPAMConfig"] ? object(source["IPAMConfig"], "IPAMConfig") : null;
  const settings: EndpointSettings = {
    IPAMConfig: ipam && readIpam(ipam),
    Links: nullable(source, "Links", strings),
    Aliases: nullable(source, "Aliases", strings),
    MacAddress: string(source, "MacAddress"),
    DriverOpts: nullable(source, "DriverOpts", stringMap),
    GwPriority: integer(source, "GwPriority"),
    NetworkID: "", EndpointID: "", Gateway: "", IPAddress: "", IPPrefixLen: 0, IPv6Gateway: "", GlobalIPv6Address: "", GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
  const v4 = settings.IPAMConfig?.IPv4Address ?? "";
  if (v4 !== "" && !isIPv4(v4)) throw fail("INVALID", `invalid endpoint settings: invalid IPv4 address: ${v4}`);
  const v6 = settings.IPAMConfig?.IPv6Address ?? "";
  if (v6 !== "" && !isIPv6(v6)) throw fail("INVALID", `invalid endpoint settings: invalid IPv6 address: ${v6}`);
  if (settings.MacAddress !== "" && !/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(settings.MacAddress)) {
    throw fail("INVALID", `invalid endpoint settings: invalid MAC address: ${settings.MacAddress}`);
  }
  settings.MacAddress = settings.MacAddress.toLowerCase().replaceAll("-", ":");
  return settings;
}

/** `default` and nothing mean `bridge`, as on Docker for Linux. */
export function networkModeOf(mode: string): string {
  return mode === "" || mode === "default" ? "bridge" : mode;
}

/**
 * From `HostConfig.NetworkMode` and `NetworkingConfig.EndpointsConfig`. `mac`: the old `Config.MacAddress`.
 * A container that shares another's network has none of its own.
 */
export function wantedNetworks(host: HostConfig, networking: Json, mac: string): WantedNetworks {
  const mode = networkModeOf(host.NetworkMode);
  if (mode.startsWith("container:")) return [];
  const configs = object(networking["EndpointsConfig"], "NetworkingConfig.EndpointsConfig");
  const wanted = new Map<string, EndpointSettings>([[mode, readEndpoint({})]]);
  for (const [reference, value] of Object.entries(configs)) {
    wanted.set(networkModeOf(reference), readEndpoint(object(value, `EndpointsConfig.${reference}`)));
  }
  if (wanted.size > 64) throw fail("TOO_LARGE", "a container can be created on at most 64 networks");
  if ((mode === "host" || mode === "none") && wanted.size > 1) {
    throw fail("INVALID", `conflicting options: cannot attach both user-defined and non-user-defined network-modes`);
  }
  const primary = wanted.get(mode)!;
  if (primary.MacAddress === "" && mac !== "") primary.MacAddress = readEndpoint({ MacAddress: mac }).MacAddress;
  return [...wanted];
}

/** What only user-defined networks offer, in Docker's words. */
export function checkEndpoint(network: NetworkResource, endpoint: EndpointSettings): void {
  const { IPv4Address: v4, IPv6Address: v6 } = endpoint.IPAMConfig ?? {};
  const hasFixed = Boolean(v4) || Boolean(v6);
  if (BUILT_IN.has(network.Name)) {
    if (hasFixed) throw fail("INVALID", "invalid config for network " + network.Name + ": invalid endpoint settings:\nuser specified IP address is supported on user defined networks only");
    if ((endpoint.Aliases ?? []).length > 0) throw fail("INVALID", "invalid config for network " + network.Name + ": invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks");
    return;
  }
  if (v4 && !network.IPAM.Config.some((pool) => contains(pool.Subnet, v4))) {
    throw fail("INVALID", `invalid config for network ${network.Name}: invalid endpoint settings:\nno configured subnet contains IP address ${v4}`);
  }
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** IPv4 only; an IPv6 subnet contains none. */
export function contains(subnet: string, address: string): boolean {
  const [base, bits] = subnet.split("/");
  if (!base || !isIPv4(base) || !isIPv4(address)) return false;
  const size = 2 ** (32 - Number(bits));
  return Math.floor(toNumber(base) / size) === Math.floor(toNumber(address) / size);
}

/** Names under which a container is found on a user-defined network: its name, aliases and short ID, as Docker's DNSNames. */
export function dnsNames(name: string, id: string, hostname: string, aliases: readonly string[]): string[] {
  return [...new Set([name, ...aliases, id.slice(0, 12), ...(hostname === "" || hostname === id.slice(0, 12) ? [] : [hostname])])];
}

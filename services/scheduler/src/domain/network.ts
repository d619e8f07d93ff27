import { fail, type EndpointSettings, type IpamPool, type NetworkResource } from "@gantry/contracts";
import { defaultGateway, pickSubnet, subnetsOverlap, ulaPool } from "@gantry/network";
import { isIPv4, isIPv6 } from "./ip.ts";
import { contains } from "./endpoints.ts";
import { checkFilters, matchesLabels, matchesPattern, type Filters } from "./filters.ts";
import { boolean, list, object, string, stringMap, type Json } from "./read.ts";
import type { ContainerRecord } from "./record.ts";
import { isRunning } from "./state.ts";

const PREDEFINED = new Set(["bridge", "host", "none"]);
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export const isPredefined = (network: Pick<NetworkResource, "Name">) => PREDEFINED.has(network.Name);

/** The networks that are there from the start. `used`: subnets that the hosts use already. */
export function predefinedNetworks(newId: () => string, created: string, used: readonly string[]): NetworkResource[] {
  const subnet = pickSubnet(used);
  const base = (name: string, driver: string): NetworkResource => ({
    Name: name, Id: newId(), Created: created, Scope: "local", Driver: driver, EnableIPv4: true, EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: [] }, Internal: false, Attachable: false, Ingress: false, ConfigFrom: { Network: "" }, ConfigOnly: false,
    Options: {}, Labels: {},
  });
  return [
    { ...base("bridge", "bridge"), IPAM: { Driver: "default", Options: null, Config: [{ Subnet: subnet, Gateway: defaultGateway(subnet) }] },
      Options: {
        "com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.enable_icc": "true", "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0", "com.docker.network.driver.mtu": "1500",
      } },
    base("host", "host"),
    base("none", "null"),
  ];
}

/** Whether a create body names an IPv4 subnet of its own. */
export function asksForSubnet(body: Json): boolean {
  return list(object(body["IPAM"], "IPAM"), "Config", readPool, 8).some((pool) => isIPv4(pool.Subnet.split("/")[0]!));
}

/** Docker's create body to a network with its addresses settled. `used`: subnets that are taken; `avoid`: others not to pick. */
export function networkFromBody(body: Json, identity: { id: string; created: string }, used: readonly string[], avoid: readonly string[] = []): NetworkResource {
  const name = string(body, "Name");
  if (name === "") throw fail("INVALID", "network name cannot be empty");
  if (name.length > 255 || !NAME.test(name)) throw fail("INVALID", `invalid network name "${name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  if (PREDEFINED.has(name) || name === "default" || name === "container") throw fail("FORBIDDEN", `operation is not permitted on predefined ${name} network`);
  const driver = string(body, "Driver") || "bridge";
  checkDriver(driver);
  if (boolean(body, "ConfigOnly") || boolean(body, "Ingress")) throw fail("NOT_IMPLEMENTED", "config-only and ingress networks are not there yet");
  const ipam = object(body["IPAM"], "IPAM");
  const ipamDriver = string(ipam, "Driver") || "default";
  if (ipamDriver !== "default") throw fail("NOT_FOUND", `could not find plugin ${ipamDriver} in v1 plugin registry: plugin not found`);
  const pools = list(ipam, "Config", readPool, 8);
  if (!pools.some((pool) => isIPv4(pool.Subnet.split("/")[0]!))) {
    const subnet = pickSubnet([...used, ...avoid]);
    pools.unshift({ Subnet: subnet, Gateway: defaultGateway(subnet) });
  }
  if (boolean(body, "EnableIPv6") && !pools.some((pool) => isIPv6(pool.Subnet.split("/")[0]!))) {
    const subnet = pickSubnet(used, [ulaPool(identity.id)]);
    pools.push({ Subnet: subnet, Gateway: defaultGateway(subnet) });
  }
  for (const pool of pools) {
    if (used.some((other) => subnetsOverlap(other, pool.Subnet))) throw fail("FORBIDDEN", "invalid pool request: Pool overlaps with other one on this address space");
  }
  return {
    Name: name, Id: identity.id, Created: identity.created, Scope: "local", Driver: driver, EnableIPv4: true, EnableIPv6: boolean(body, "EnableIPv6"),
    IPAM: { Driver: "default", Options: Object.keys(stringMap(ipam, "Options")).length > 0 ? stringMap(ipam, "Options") : {}, Config: pools },
    Internal: boolean(body, "Internal"), Attachable: boolean(body, "Attachable"), Ingress: false, ConfigFrom: { Network: "" }, ConfigOnly: false,
    Options: stringMap(body, "Options"), Labels: stringMap(body, "Labels"),
  };
}

function checkDriver(driver: string): void {
  if (driver === "bridge") return;
  if (driver === "host" || driver === "null") throw fail("FORBIDDEN", `only one instance of "${driver}" network is allowed`);
  if (["overlay", "macvlan", "ipvlan"].includes(driver)) throw fail("NOT_IMPLEMENTED", `networks of the ${driver} driver are not there yet`);
  throw fail("NOT_FOUND", `could not find plugin ${driver} in v1 plugin registry: plugin not found`);
}

function readPool(value: unknown, field: string): IpamPool {
  const source = object(value, field);
  const subnet = string(source, "Subnet");
  const [address = "", bits = ""] = subnet.split("/");
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  if (most < 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > most - 2 || Number(bits) < 8) throw fail("INVALID", `invalid subnet ${subnet}: invalid CIDR block notation`);
  const network = most === 32 ? masked(address, Number(bits)) : address;
  if (network !== address) throw fail("INVALID", `invalid network config:\ninvalid subnet ${subnet}: it should be ${network}/${bits}`);
  const gateway = string(source, "Gateway");
  if (gateway !== "" && most === 32 && !contains(subnet, gateway)) throw fail("INVALID", `invalid network config:\ninvalid gateway ${gateway}: parent subnet ${subnet} doesn't contain this address`);
  const range = string(source, "IPRange");
  if (range !== "" && (most !== 32 || !contains(subnet, range.split("/")[0]!))) throw fail("INVALID", `invalid network config:\ninvalid ip-range ${range}: parent subnet ${subnet} doesn't contain ip-range`);
  const auxiliary = stringMap(source, "AuxiliaryAddresses");
  return {
    Subnet: subnet, ...(range === "" ? {} : { IPRange: range }), Gateway: gateway === "" ? defaultGateway(subnet) : gateway,
    ...(Object.keys(auxiliary).length > 0 ? { AuxiliaryAddresses: auxiliary } : {}),
  };
}

function masked(address: string, bits: number): string {
  const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const base = Math.floor(value / 2 ** (32 - bits)) * 2 ** (32 - bits);
  return [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".");
}

/** Containers that have an address on the network now. */
export function activeOn(network: NetworkResource, containers: readonly ContainerRecord[]): { record: ContainerRecord; endpoint: EndpointSettings }[] {
  return containers.filter((record) => isRunning(record.state)).flatMap((record) => {
    const endpoint = (record.state.networks as Record<string, EndpointSettings>)[network.Name];
    return endpoint?.NetworkID === network.Id || (endpoint && record.spec.networks.some((n) => n.id === network.Id)) ? [{ record, endpoint }] : [];
  });
}

/** Docker's network resource with its `Containers`. */
export function networkView(network: NetworkResource, containers: readonly ContainerRecord[]): Record<string, unknown> {
  const rows = activeOn(network, containers).map(({ record, endpoint }) => [record.id, {
    Name: record.name, EndpointID: endpoint.EndpointID, MacAddress: endpoint.MacAddress,
    IPv4Address: endpoint.IPAddress === "" ? "" : `${endpoint.IPAddress}/${endpoint.IPPrefixLen}`,
    IPv6Address: endpoint.GlobalIPv6Address === "" ? "" : `${endpoint.GlobalIPv6Address}/${endpoint.GlobalIPv6PrefixLen}`,
  }]);
  return { ...network, Containers: Object.fromEntries(rows) };
}

const NETWORK_FILTERS = new Set(["dangling", "driver", "id", "label", "name", "scope", "type"]);

/** `used`: IDs of networks that a container is connected to. */
export function matchesNetwork(network: NetworkResource, filters: Filters, used: ReadonlySet<string>): boolean {
  checkFilters(filters, NETWORK_FILTERS);
  const any = (name: string, test: (values: readonly string[]) => boolean) => filters[name] === undefined || filters[name].length === 0 || test(filters[name]);
  const truth = (value: string) => {
    if (["true", "1"].includes(value)) return true;
    if (["false", "0"].includes(value)) return false;
    throw fail("INVALID", `invalid filter 'dangling=${value}'`);
  };
  return any("driver", (v) => v.includes(network.Driver))
    && any("id", (v) => v.some((id) => network.Id.startsWith(id)))
    && any("name", (v) => matchesPattern(network.Name, v))
    && any("scope", (v) => v.includes(network.Scope))
    && any("label", (v) => matchesLabels(network.Labels, v))
    && any("type", (v) => v.some((type) => {
      if (type !== "custom" && type !== "builtin") throw fail("INVALID", `invalid filter: 'type'='${type}'`);
      return (type === "builtin") === isPredefined(network);
    }))
    && any("dangling", (v) => v.some((value) => truth(value) === (!isPredefined(network) && !used.has(network.Id))));
}

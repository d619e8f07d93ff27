import { fail, type EndpointSettings } from "@gantry/contracts";
import { newId, shortId } from "@gantry/kernel";
import { AddressAllocator, macOf, parseMac } from "./addresses.ts";
import { withPrefix } from "./host-subnets.ts";
import { vethName } from "./names.ts";
import type { Endpoint, EndpointRequest, NetworkConfig } from "./port.ts";

interface Claim { ip: string; ip6: string | null }
interface NetworkState { config: NetworkConfig; v4: AddressAllocator; v6: AddressAllocator | null; claims: Map<string, Claim> }

/** Networks of the host with the addresses that are in use on them: in memory. */
export class Endpoints {
  readonly #instance: string;
  readonly #networks = new Map<string, NetworkState>();

  constructor(instance: string) {
    this.#instance = instance;
  }

  configs(): NetworkConfig[] {
    return [...this.#networks.values()].map((n) => n.config);
  }

  config(networkId: string): NetworkConfig | null {
    return this.#networks.get(networkId)?.config ?? null;
  }

  /** INVALID for addresses that do not fit together. Known networks keep their claims: CONFLICT where those are of other subnets. */
  addNetwork(config: NetworkConfig): void {
    const before = this.#networks.get(config.id);
    if (before !== undefined && sameAddresses(before.config, config)) {
      before.config = config;
      return;
    }
    if (before !== undefined && before.claims.size > 0) throw fail("CONFLICT", `network ${config.name} id ${config.id} has active endpoints: its subnet cannot change from ${before.config.subnet} to ${config.subnet}`);
    this.#networks.set(config.id, {
      config,
      v4: new AddressAllocator(config.subnet, { gateway: config.gateway, range: config.ipRange }),
      v6: config.ipv6 === null ? null : new AddressAllocator(config.ipv6.subnet, { gateway: config.ipv6.gateway, range: null }),
      claims: new Map(),
    });
  }

  removeNetwork(networkId: string): void {
    this.#networks.delete(networkId);
  }

  /** How many containers have an address on it. */
  inUse(networkId: string): number {
    return this.#networks.get(networkId)?.claims.size ?? 0;
  }

  /** Contract: {@link HostNetwork.reserve}; `ip6` too. */
  reserve(networkId: string, containerId: string, ip: string, ip6: string | null): void {
    this.#claim(this.#state(networkId), containerId, ip, ip6);
  }

  release(containerId: string, networkId: string | null): void {
    for (const [id, network] of this.#networks) {
      if (networkId === null || networkId === id) freeClaim(network, containerId);
    }
  }

  /** Contract: {@link HostNetwork.allocate}. */
  allocate(request: EndpointRequest): Endpoint {
    const network = this.#state(request.networkId);
    const { config } = network;
    const mac = request.mac === null ? null : parseMac(request.mac);
    const claim = this.#claim(network, request.containerId, request.ip, request.ip6);
    const gateway = config.internal ? null : config.gateway;
    const settings: EndpointSettings = {
      IPAMConfig: ipamConfig(request),
      Links: null,
      Aliases: request.aliases.length === 0 ? null : [...request.aliases],
      MacAddress: mac ?? macOf(claim.ip),
      DriverOpts: null,
      GwPriority: 0,
      NetworkID: config.id,
      EndpointID: newId(),
      Gateway: gateway ?? "",
      IPAddress: claim.ip,
      IPPrefixLen: network.v4.prefix,
      IPv6Gateway: config.internal || config.ipv6 === null ? "" : config.ipv6.gateway,
      GlobalIPv6Address: claim.ip6 ?? "",
      GlobalIPv6PrefixLen: network.v6?.prefix ?? 0,
      DNSNames: request.dns ? dnsNames(request) : null,
    };
    return {
      containerId: request.containerId,
      networkId: config.id,
      interface: {
        bridge: config.bridge,
        hostName: vethName(this.#instance, request.containerId, config.id),
        name: `eth${request.index}`,
        mac: settings.MacAddress,
        addresses: [withPrefix(claim.ip, network.v4.prefix), ...(claim.ip6 === null || network.v6 === null ? [] : [withPrefix(claim.ip6, network.v6.prefix)])],
        gateway: request.defaultRoute ? gateway : null,
        gateway6: request.defaultRoute && !config.internal ? config.ipv6?.gateway ?? null : null,
        mtu: config.mtu,
      },
      settings,
    };
  }

  #state(networkId: string): NetworkState {
    const network = this.#networks.get(networkId);
    if (network === undefined) throw fail("NO_SUCH_NETWORK", `network ${shortId(networkId)} not found`);
    return network;
  }

  /** Both addresses or none. An address asked for replaces another that the container had. */
  #claim(network: NetworkState, containerId: string, ip: string | null, ip6: string | null): Claim {
    const before = network.claims.get(containerId);
    if (ip6 !== null && network.v6 === null) {
      throw fail("INVALID", `no configured subnet or ip-range contain the IP address ${ip6}`);
    }
    const wanted4 = ip ?? before?.ip ?? null;
    const wanted6 = ip6 ?? before?.ip6 ?? null;
    const got4 = network.v4.take(containerId, wanted4);
    let got6: string | null = null;
    try {
      got6 = network.v6?.take(containerId, wanted6) ?? null;
    } catch (e) {
      if (got4 !== before?.ip) network.v4.free(containerId, got4);
      throw e;
    }
    if (before !== undefined && before.ip !== got4) network.v4.free(containerId, before.ip);
    if (before?.ip6 !== undefined && before.ip6 !== null && before.ip6 !== got6) network.v6?.free(containerId, before.ip6);
    const claim: Claim = { ip: got4, ip6: got6 };
    network.claims.set(containerId, claim);
    return claim;
  }
}

function freeClaim(network: NetworkState, containerId: string): void {
  const claim = network.claims.get(containerId);
  if (claim === undefined) return;
  network.claims.delete(containerId);
  network.v4.free(containerId, claim.ip);
  if (claim.ip6 !== null) network.v6?.free(containerId, claim.ip6);
}

function ipamConfig(request: EndpointRequest): EndpointSettings["IPAMConfig"] {
  if (request.ip === null && request.ip6 === null) return null;
  return { ...(request.ip === null ? {} : { IPv4Address: request.ip }), ...(request.ip6 === null ? {} : { IPv6Address: request.ip6 }) };
}

/** Whether an address on one is an address on the other. */
export function sameAddresses(a: NetworkConfig, b: NetworkConfig): boolean {
  const of = ({ subnet, gateway, ipRange, ipv6 }: NetworkConfig) => JSON.stringify([subnet, gateway, ipRange, ipv6]);
  return of(a) === of(b);
}

/** Docker's order: name, aliases, short ID, hostname; each once. */
function dnsNames(request: EndpointRequest): string[] {
  return [...new Set([request.containerName, ...request.aliases, shortId(request.containerId), request.hostname].filter((n) => n !== ""))];
}

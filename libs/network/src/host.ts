import { existsSync } from "node:fs";
import { fail } from "@gantry/contracts";
import { describeError, type Logger } from "@gantry/kernel";
import type { NativeNet } from "@gantry/runtime";
import { DnsServers } from "./dns/server.ts";
import { HostResolvers } from "./dns/upstream.ts";
import { Zone } from "./dns/zone.ts";
import { Endpoints, sameAddresses } from "./endpoints.ts";
import { Firewall } from "./firewall.ts";
import { ForeignFirewall } from "./foreign-firewall.ts";
import { hostSubnets, linkNames, withPrefix } from "./host-subnets.ts";
import { parseCidr } from "./ip.ts";
import { bridgePrefix, tableName, vethName, vethPrefix } from "./names.ts";
import type {
  DnsRecord, Endpoint, EndpointRequest, HostNetwork, HostNetworkOptions, NetworkConfig, PortBinding, PublishRequest, RestoredState,
} from "./port.ts";
import { PublishedPorts } from "./published.ts";
import { subnetsOverlap } from "./subnets.ts";
import { setNetSysctl } from "./sysctl.ts";

const HAS_IPV6 = existsSync("/proc/sys/net/ipv6");

/** The network side of this host. Nothing on the host changes before {@link HostNetwork.restore}. */
export async function openHostNetwork(options: HostNetworkOptions): Promise<HostNetwork> {
  if (!/^[0-9a-f]{8}$/.test(options.instance)) throw fail("INVALID", `instance ${options.instance}: 8 hex digits are needed`);
  return new LinuxHostNetwork(options);
}

class LinuxHostNetwork implements HostNetwork {
  readonly #native: NativeNet;
  readonly #instance: string;
  readonly #logger: Logger;
  readonly #endpoints: Endpoints;
  readonly #firewall: Firewall;
  readonly #foreign: ForeignFirewall;
  readonly #published: PublishedPorts;
  readonly #zone = new Zone();
  readonly #dns: DnsServers;
  /** Networks are made and removed one at a time. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: HostNetworkOptions) {
    this.#native = options.native;
    this.#instance = options.instance;
    this.#logger = options.logger.child({ part: "network" });
    this.#endpoints = new Endpoints(options.instance);
    this.#firewall = new Firewall(options.native, tableName(options.instance), this.#logger);
    this.#foreign = new ForeignFirewall(options.native, bridgePrefix(options.instance), this.#logger);
    this.#published = new PublishedPorts(this.#firewall);
    this.#dns = new DnsServers(this.#zone, new HostResolvers(options.clock, options.resolvers ?? null), this.#logger);
  }

  restore(state: RestoredState): Promise<string[]> {
    return this.#inOrder(async () => {
      setNetSysctl("ipv4/ip_forward", "1", "containers will not reach other hosts, nor be reached by published ports", this.#logger);
      const problems: string[] = [];
      const known: NetworkConfig[] = [];
      for (const network of state.networks) {
        try {
          this.#makeBridge(network);
          this.#remember(network);
          known.push(network);
        } catch (e) {
          problems.push(`network ${network.name}: ${describeError(e)}`);
        }
      }
      for (const e of state.endpoints) {
        try {
          this.#endpoints.reserve(e.networkId, e.containerId, e.ip, e.ip6);
        } catch (error) {
          problems.push(`address ${e.ip} of container ${e.containerId.slice(0, 12)}: ${describeError(error)}`);
        }
      }
      const stale = (await this.#ownBridges()).filter((bridge) => !known.some((n) => n.bridge === bridge));
      const { rules, problems: lost } = await this.#published.restore(state.published);
      await this.#firewall.replace(known, rules);
      await Promise.all(stale.map((bridge) => this.#native.linkDelete(bridge)));
      await this.#foreign.open();
      return [...problems, ...lost];
    });
  }

  ensureNetwork(config: NetworkConfig): Promise<void> {
    return this.#inOrder(async () => {
      const before = this.#endpoints.config(config.id);
      const same = before !== null && JSON.stringify(before) === JSON.stringify(config);
      if (same && this.#native.linkExistsSync(config.bridge)) return;
      for (const other of this.#endpoints.configs()) {
        if (other.id === config.id) continue;
        if (other.bridge === config.bridge || subnetsOverlap(other.subnet, config.subnet)) {
          throw fail("CONFLICT", "invalid pool request: Pool overlaps with other one on this address space");
        }
      }
      if (before !== null && !sameAddresses(before, config)) {
        // The device would keep the old address beside the new one, as the allocator would.
        this.#endpoints.addNetwork(config);
        await this.#native.linkDelete(before.bridge);
      }
      this.#makeBridge(config);
      try {
        this.#remember(config);
        await this.#firewall.setNetwork(config);
      } catch (e) {
        if (before === null) {
          this.#endpoints.removeNetwork(config.id);
          this.#zone.removeNetwork(config.id);
          await this.#native.linkDelete(config.bridge);
        }
        throw e;
      }
    });
  }

  removeNetwork(networkId: string): Promise<void> {
    return this.#inOrder(async () => {
      const config = this.#endpoints.config(networkId);
      if (config === null) return;
      if (this.#endpoints.inUse(networkId) > 0) {
        throw fail("CONFLICT", `error while removing network: network ${config.name} id ${networkId} has active endpoints`);
      }
      // Forgotten first, so that no address is given on it meanwhile.
      this.#endpoints.removeNetwork(networkId);
      this.#zone.removeNetwork(networkId);
      try {
        await this.#native.linkDelete(config.bridge);
        await this.#firewall.removeNetwork(networkId);
      } catch (e) {
        this.#remember(config);
        throw e;
      }
    });
  }

  networks(): NetworkConfig[] {
    return this.#endpoints.configs();
  }

  async usedSubnets(): Promise<string[]> {
    const ours = this.#endpoints.configs().flatMap((n) => [n.subnet, ...(n.ipv6 === null ? [] : [n.ipv6.subnet])]);
    return [...new Set([...hostSubnets(), ...ours])];
  }

  allocate(request: EndpointRequest): Endpoint {
    return this.#endpoints.allocate(request);
  }

  reserve(networkId: string, containerId: string, ip: string): void {
    this.#endpoints.reserve(networkId, containerId, ip, null);
  }

  release(containerId: string, networkId: string | null): void {
    this.#endpoints.release(containerId, networkId);
  }

  async connect(endpoint: Endpoint, pid: number): Promise<void> {
    try {
      this.#native.vethCreateSync({ ...endpoint.interface, netnsPid: pid });
    } catch (e) {
      throw fail("INTERNAL", `failed to add interface ${endpoint.interface.hostName} to sandbox: ${describeError(e)}`, { cause: e });
    }
  }

  async disconnect(containerId: string, networkId: string): Promise<void> {
    await this.#native.linkDelete(vethName(this.#instance, containerId, networkId));
  }

  publish(request: PublishRequest): Promise<PortBinding[]> {
    return this.#published.publish(request);
  }

  unpublish(containerId: string): Promise<void> {
    return this.#published.unpublish(containerId);
  }

  serveDns(options: { containerId: string; udpFd: number; tcpFd: number; servers: readonly string[] | null }): Promise<void> {
    return this.#dns.serve(options);
  }

  register(containerId: string, records: readonly DnsRecord[]): void {
    this.#zone.register(containerId, records);
  }

  async unregister(containerId: string): Promise<void> {
    this.#zone.unregister(containerId);
    await this.#dns.stop(containerId);
  }

  destroy(): Promise<void> {
    return this.#inOrder(async () => {
      await this.#closeSockets();
      const bridges = [...await this.#ownBridges(), ...this.#endpoints.configs().map((n) => n.bridge)];
      // Pairs first: a container that still runs keeps its end of them, not the bridge.
      const links = this.#ownLinks();
      const pairs = links.filter((name) => name.startsWith(vethPrefix(this.#instance)));
      for (const name of new Set([...pairs, ...links, ...bridges])) await this.#native.linkDelete(name);
      for (const network of this.#endpoints.configs()) this.#endpoints.removeNetwork(network.id);
      await this.#foreign.close();
      await this.#firewall.destroy();
    });
  }

  async leftovers(): Promise<string[]> {
    return [...this.#ownLinks().map((name) => `link ${name}`), ...await this.#firewall.tables()];
  }

  /** Closes what this process holds. Bridges, rules and published ports of running containers stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inOrder(() => this.#closeSockets());
  }

  async #closeSockets(): Promise<void> {
    await this.#dns.stopAll();
    await this.#published.closeAll();
  }

  #makeBridge(config: NetworkConfig): void {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/.test(config.bridge)) throw fail("INVALID", `invalid bridge name: ${JSON.stringify(config.bridge)}`);
    const cidr = parseCidr(config.subnet);
    if (cidr === null || cidr.bits !== 32) throw fail("INVALID", `invalid subnet ${config.subnet}`);
    const v6 = config.ipv6 === null ? null : parseCidr(config.ipv6.subnet);
    if (config.ipv6 !== null && v6?.bits !== 128) throw fail("INVALID", `invalid subnet ${config.ipv6.subnet}`);
    const addresses = [withPrefix(config.gateway, cidr.prefix)];
    if (config.ipv6 !== null && v6 !== null) addresses.push(withPrefix(config.ipv6.gateway, v6.prefix));
    try {
      this.#native.bridgeCreateSync(config.bridge, bridgeMac(config.id), config.mtu, addresses);
    } catch (e) {
      throw fail("INTERNAL", `cannot create network ${config.name}: ${describeError(e)}`, { cause: e });
    }
    this.#tune(config);
  }

  #tune(config: NetworkConfig): void {
    setNetSysctl(`ipv4/conf/${config.bridge}/route_localnet`, "1", "published ports will not answer on 127.0.0.1", this.#logger);
    if (config.ipv6 !== null) {
      setNetSysctl("ipv6/conf/all/forwarding", "1", "containers will not reach other hosts over IPv6", this.#logger);
      // While the bridge's link-local address is probed for a duplicate, the kernel cannot ask for containers' hardware addresses.
      setNetSysctl(`ipv6/conf/${config.bridge}/accept_dad`, "0", "a network's first container is not reached over IPv6 for two seconds", this.#logger);
    }
    // A container must not be able to give the host IPv6 routes.
    if (HAS_IPV6) setNetSysctl(`ipv6/conf/${config.bridge}/accept_ra`, "0", "containers could send the host router advertisements", this.#logger);
  }

  #remember(config: NetworkConfig): void {
    this.#endpoints.addNetwork(config);
    this.#zone.setNetwork(config.id, { name: config.name, internal: config.internal });
  }

  /** Bridges that this instance's firewall table names: ours for certain, also those with names that users chose. */
  async #ownBridges(): Promise<string[]> {
    try {
      const list = await this.#native.nft(`list set ip ${tableName(this.#instance)} bridges`);
      return [...list.matchAll(/"([^"]+)"/g)].map((m) => m[1]!);
    } catch (e) {
      if ((e as { code?: unknown }).code === "ENOENT") return [];
      throw e;
    }
  }

  #ownLinks(): string[] {
    return linkNames().filter((name) => name.startsWith(bridgePrefix(this.#instance)) || name.startsWith(vethPrefix(this.#instance)));
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(work, work);
    this.#tail = mine.catch(() => {});
    return mine;
  }
}

/** Stable, so that containers' neighbour entries stay good when a bridge is made anew. */
function bridgeMac(networkId: string): string {
  return `02:42:${networkId.slice(0, 8).match(/../g)!.join(":")}`;
}

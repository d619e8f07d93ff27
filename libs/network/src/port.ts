import type { EndpointSettings } from "@gantry/contracts";
import type { Clock, Logger } from "@gantry/kernel";
import type { NativeNet, NetworkInterface } from "@gantry/runtime";

/** Addresses are text without a prefix length; subnets are `address/length` with the host bits zero. */
export interface NetworkConfig {
  /** 64 hex digits. */
  id: string;
  name: string;
  /** At most 15 characters; {@link bridgeName} gives the usual one. */
  bridge: string;
  subnet: string;
  gateway: string;
  /** Docker's IPRange: addresses are given from here; null: from the whole subnet. */
  ipRange: string | null;
  ipv6: { subnet: string; gateway: string } | null;
  mtu: number;
  /** No way out and no way in (`--internal`). */
  internal: boolean;
  /** May containers of this network talk to each other (com.docker.network.bridge.enable_icc). */
  icc: boolean;
  /** Hide containers behind the host's address on the way out (com.docker.network.bridge.enable_ip_masquerade). */
  masquerade: boolean;
}

export interface EndpointRequest {
  networkId: string;
  containerId: string;
  /** Without the leading slash. */
  containerName: string;
  /** Also a name of the container in DNS, as in Docker. "": none but the short ID. */
  hostname: string;
  /** `--ip`, `--ip6`, `--mac-address`; null: chosen here. The MAC comes from the address, as Docker's: 02:42:ac:11:00:02. */
  ip: string | null;
  ip6: string | null;
  mac: string | null;
  /** `--network-alias` and Compose's service names. */
  aliases: string[];
  /** Inside, the interface is `eth<index>`. */
  index: number;
  /** The container's default route goes this way; ignored on internal networks. Give it to one endpoint of a container. */
  defaultRoute: boolean;
  /** Names are served by DNS on it: every network but the default bridge. Without: no DNSNames. */
  dns: boolean;
}

export interface Endpoint {
  containerId: string;
  networkId: string;
  /** For {@link ContainerSpec.networks} of `@gantry/runtime`. */
  interface: NetworkInterface;
  /** As `docker inspect` shows them. */
  settings: EndpointSettings;
}

/** One of Docker's PortBindings. `hostIp` "": every address. `hostPort` 0: a free one; a range `[first, last]`: the first free. */
export interface PortRequest {
  hostIp: string;
  hostPort: number | readonly [number, number];
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
}

/** What is published, one per host address: `""` became "0.0.0.0" and, where the host has IPv6, "::". */
export interface PortBinding {
  hostIp: string;
  hostPort: number;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
}

export interface PublishRequest {
  containerId: string;
  /** For Docker's error text: `driver failed programming external connectivity on endpoint NAME (ID): …`. */
  containerName: string;
  endpointId: string;
  /** The network over which the ports are reached, and the container's addresses there. */
  networkId: string;
  ip: string;
  ip6: string | null;
  ports: readonly PortRequest[];
}

/** What the agent knows of running containers when it starts. */
export interface RestoredState {
  networks: readonly NetworkConfig[];
  endpoints: readonly { networkId: string; containerId: string; ip: string; ip6: string | null }[];
  published: readonly (Omit<PublishRequest, "ports"> & { bindings: readonly PortBinding[] })[];
}

/** A container's address on a network and the names (container name, short ID, aliases, hostname) it has there. */
export interface DnsRecord {
  networkId: string;
  ip: string;
  ip6: string | null;
  names: readonly string[];
}

/**
 * The network of one host: bridges, addresses, firewall, published ports, DNS.
 *
 * `restore` is called once, first. Everything is derived from what the caller tells: nothing is written to disk.
 * Calls for one container do not overlap; others may.
 */
export interface HostNetwork extends AsyncDisposable {
  /**
   * Takes over what runs already: makes missing bridges, reserves addresses, and replaces the firewall table in one transaction, so
   * that published ports never close. Answers in words what could not be had back (a port that another process took meanwhile).
   */
  restore(state: RestoredState): Promise<string[]>;

  /** Makes the bridge, its addresses and its firewall rules; no error when it is there as asked. CONFLICT when the subnet overlaps another network, or is another one than that of addresses in use. */
  ensureNetwork(config: NetworkConfig): Promise<void>;
  /** Deletes bridge and rules. CONFLICT `… has active endpoints` while addresses are in use; no error when it is not there. */
  removeNetwork(networkId: string): Promise<void>;
  networks(): NetworkConfig[];
  /** Subnets of the host's interfaces and routes that are not ours, and those of our networks: input of {@link pickSubnet}. */
  usedSubnets(): Promise<string[]>;

  /**
   * An address on a network, in memory. The endpoint is kept until {@link release}; asking again for the same container and network
   * answers the same address. CONFLICT `Address already in use`; INVALID for an address outside of the subnet;
   * UNAVAILABLE when the subnet is full; NO_SUCH_NETWORK before {@link ensureNetwork}.
   */
  allocate(request: EndpointRequest): Endpoint;
  /** Marks an address as taken: of a stopped container that keeps it (`--ip`), or of a container found again. */
  reserve(networkId: string, containerId: string, ip: string): void;
  /** Frees the addresses of a container on one network, or on all (null). */
  release(containerId: string, networkId: string | null): void;

  /** For a running container: makes the veth pair and configures it inside (`docker network connect`). `pid` is on the host. */
  connect(endpoint: Endpoint, pid: number): Promise<void>;
  /** Deletes the veth pair. The address stays allocated until {@link release}. */
  disconnect(containerId: string, networkId: string): Promise<void>;

  /**
   * Publishes all ports or none. Errors are CONFLICT, in Docker's words:
   * `… Bind for 0.0.0.0:8080 failed: port is already allocated`, or `… failed to bind host port …: address already in use` where
   * another process of the host has it.
   */
  publish(request: PublishRequest): Promise<PortBinding[]>;
  unpublish(containerId: string): Promise<void>;

  /**
   * Answers on the sockets bound at 127.0.0.11:53 inside the container; takes the descriptors over, also when it fails.
   * `servers`: where other names are looked up, of `--dns`; null: the host's resolvers.
   */
  serveDns(options: { containerId: string; udpFd: number; tcpFd: number; servers: readonly string[] | null }): Promise<void>;
  /** Names of a container, replacing those it had; also what it may look up itself: names on the same networks. */
  register(containerId: string, records: readonly DnsRecord[]): void;
  /** Forgets its names, and closes its DNS sockets. */
  unregister(containerId: string): Promise<void>;

  /** Removes every bridge, veth, rule and table of this instance, also those of earlier runs. */
  destroy(): Promise<void>;
  /** What this instance has on the host: `link gy12345678…`, `table ip gantry_…`; empty after {@link destroy}. */
  leftovers(): Promise<string[]>;
}

export interface HostNetworkOptions {
  native: NativeNet;
  /** 8 hex digits. */
  instance: string;
  clock: Clock;
  logger: Logger;
  /** Servers for names that are not ours, instead of the host's /etc/resolv.conf (tests, `--dns` of the agent). `address` or `address:port`. */
  resolvers?: readonly string[];
}

import type { ContainerConfig, EndpointSettings, HostConfig, NetworkResource, PortMap } from "@gantry/contracts";
import { bridgeName, type NetworkConfig, type PortBinding, type PortRequest } from "@gantry/network";

export const isDefaultBridge = (network: NetworkResource) => network.Options["com.docker.network.bridge.default_bridge"] === "true";

/** From Docker's network resource to what the host's network makes; null for `host` and `none`. */
export function networkConfig(network: NetworkResource, instance: string): NetworkConfig | null {
  if (network.Driver !== "bridge") return null;
  const v4 = network.IPAM.Config.find((pool) => !pool.Subnet.includes(":"));
  if (!v4) return null;
  const v6 = network.EnableIPv6 ? network.IPAM.Config.find((pool) => pool.Subnet.includes(":")) : undefined;
  const option = (name: string) => network.Options[`com.docker.network.${name}`];
  const given = option("bridge.name");
  return {
    id: network.Id, name: network.Name,
    bridge: given !== undefined && /^[a-zA-Z0-9_.-]{1,15}$/.test(given) ? given : bridgeName(instance, network.Id),
    subnet: v4.Subnet, gateway: v4.Gateway ?? "", ipRange: v4.IPRange ?? null,
    ipv6: v6 ? { subnet: v6.Subnet, gateway: v6.Gateway ?? "" } : null,
    mtu: Number(option("driver.mtu") ?? 1500) || 1500,
    internal: network.Internal,
    icc: option("bridge.enable_icc") !== "false",
    masquerade: option("bridge.enable_ip_masquerade") !== "false",
  };
}

/** `-p` and `-P`, as the host's network wants them. */
export function portRequests(config: ContainerConfig, host: HostConfig): PortRequest[] {
  const requests: PortRequest[] = [];
  for (const [port, bindings] of Object.entries(host.PortBindings)) {
    const [number, protocol] = split(port);
    for (const { HostIp, HostPort } of bindings ?? []) {
      const [first = 0, last] = HostPort === "" ? [] : HostPort.split("-").map(Number);
      requests.push({ hostIp: HostIp, hostPort: last === undefined ? first : [first, last], containerPort: number, protocol });
    }
  }
  if (host.PublishAllPorts) {
    for (const port of Object.keys(config.ExposedPorts)) {
      if (Object.hasOwn(host.PortBindings, port)) continue;
      const [number, protocol] = split(port);
      requests.push({ hostIp: "", hostPort: 0, containerPort: number, protocol });
    }
  }
  return requests;
}

function split(port: string): [number, PortRequest["protocol"]] {
  const [number, protocol] = port.split("/");
  return [Number(number), protocol === "udp" || protocol === "sctp" ? protocol : "tcp"];
}

/** Docker's NetworkSettings.Ports. */
export function portMap(bindings: readonly PortBinding[]): PortMap {
  const map: PortMap = {};
  for (const { containerPort, protocol, hostIp, hostPort } of bindings) {
    (map[`${containerPort}/${protocol}`] ??= [])!.push({ HostIp: hostIp, HostPort: String(hostPort) });
  }
  return map;
}

/** The network that the container's default route goes by: the highest GwPriority, then the first that has a way out. */
export function gatewayNetwork(networks: readonly { network: NetworkResource; endpoint: EndpointSettings }[]): string | null {
  const able = networks.filter(({ network }) => network.Driver === "bridge" && !network.Internal);
  return [...able].sort((a, b) => b.endpoint.GwPriority - a.endpoint.GwPriority)[0]?.network.Id ?? null;
}

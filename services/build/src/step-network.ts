import { readFile } from "node:fs/promises";
import { digestOf } from "@gantry/oci";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import { bridgeName, defaultGateway, pickSubnet, renderHosts, renderHostsOfHost, renderResolvConf, type HostNetwork, type NetworkConfig } from "@gantry/network";
import type { StepAttachment, StepNetwork } from "./ports.ts";

const NAME = "build";

/**
 * Networks for build steps on a host of its own, where no node agent runs: one bridge with a way out, made with the first step
 * that wants it; `host` and `none`. Networks of the cluster are INVALID.
 */
export async function localStepNetwork(network: HostNetwork, instance: string): Promise<StepNetwork> {
  await network.restore({ networks: [], endpoints: [], published: [] });
  let making: Promise<NetworkConfig> | null = null;
  const make = async (): Promise<NetworkConfig> => {
    const id = digestOf(`${NAME} ${instance}`).slice("sha256:".length);
    const subnet = pickSubnet(await network.usedSubnets());
    const config: NetworkConfig = {
      id, name: NAME, bridge: bridgeName(instance, id), subnet, gateway: defaultGateway(subnet), ipRange: null, ipv6: null, mtu: 1500, internal: false, icc: false, masquerade: true,
    };
    await network.ensureNetwork(config);
    return config;
  };
  return {
    async attach({ containerId, mode, hostname, extraHosts }): Promise<StepAttachment> {
      const hostFile = await textOf("/etc/resolv.conf");
      const dns = { hostFile, dns: [], search: [], options: [] };
      if (mode === "host") {
        const hosts = renderHostsOfHost(await textOf("/etc/hosts"), extraHosts, "127.0.0.1");
        return { namespace: "host", networks: [], hosts, resolvConf: renderResolvConf({ ...dns, mode: "host" }), async [Symbol.asyncDispose]() {} };
      }
      const rest = { hostname, domainname: "", extraHosts };
      if (mode === "none") {
        const hosts = renderHosts({ ...rest, addresses: [], hostGateway: null });
        return { namespace: "new", networks: [], hosts, resolvConf: renderResolvConf({ ...dns, mode: "direct" }), async [Symbol.asyncDispose]() {} };
      }
      if (mode !== "default" && mode !== "bridge") throw fail("INVALID", `network ${mode} cannot be used by a build on this host`);
      making ??= make().catch((e: unknown) => { making = null; throw e; });
      const { id } = await making;
      const endpoint = network.allocate({
        networkId: id, containerId, containerName: hostname, hostname, ip: null, ip6: null, mac: null, aliases: [], index: 0, defaultRoute: true, dns: false,
      });
      const { IPAddress, Gateway } = endpoint.settings;
      return {
        namespace: "new", networks: [endpoint.interface],
        hosts: renderHosts({ ...rest, addresses: [IPAddress], hostGateway: Gateway }), resolvConf: renderResolvConf({ ...dns, mode: "direct" }),
        async [Symbol.asyncDispose]() { network.release(containerId, null); },
      };
    },
  };
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return "";
    throw e;
  }
}

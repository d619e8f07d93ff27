import { readFile } from "node:fs/promises";
import type { StepNetwork } from "@gantry/build";
import type { Bus } from "@gantry/bus";
import { fail, networkInspect, type NetworkResource } from "@gantry/contracts";
import { networkConfig } from "@gantry/node-agent";
import { renderHosts, renderHostsOfHost, renderResolvConf, type HostNetwork } from "@gantry/network";
import { errnoOf } from "@gantry/kernel";

/** Networks for build steps on a host that runs containers too: the same bridges and addresses, told by the scheduler's records. */
export function stepNetworkOnHost(options: { bus: Bus; network: HostNetwork; instance: string }): StepNetwork {
  const { bus, network, instance } = options;
  return {
    async attach({ containerId, mode, hostname, extraHosts }) {
      const resolvers = await hostText("/etc/resolv.conf");
      const dns = { dns: [], search: [], options: [] };
      if (mode === "host") {
        return {
          namespace: "host", networks: [],
          hosts: renderHostsOfHost(await hostText("/etc/hosts"), extraHosts, "127.0.0.1"),
          resolvConf: renderResolvConf({ hostFile: resolvers, mode: "host", ...dns }),
          async [Symbol.asyncDispose]() {},
        };
      }
      const config = mode === "none" ? null : networkConfig((await bus.call(networkInspect, { ref: mode === "default" || mode === "" ? "bridge" : mode })).network as unknown as NetworkResource, instance);
      if (config === null) {
        if (mode !== "none") throw fail("INVALID", `network ${mode} cannot be used by a build`);
        return {
          namespace: "new", networks: [],
          hosts: renderHosts({ hostname, domainname: "", addresses: [], extraHosts, hostGateway: null }),
          resolvConf: renderResolvConf({ hostFile: resolvers, mode: "direct", ...dns }),
          async [Symbol.asyncDispose]() {},
        };
      }
      await network.ensureNetwork(config);
      const endpoint = network.allocate({
        networkId: config.id, containerId, containerName: hostname, hostname, ip: null, ip6: null, mac: null, aliases: [], index: 0, defaultRoute: true, dns: false,
      });
      const { IPAddress, Gateway } = endpoint.settings;
      return {
        namespace: "new", networks: [endpoint.interface],
        hosts: renderHosts({ hostname, domainname: "", addresses: [IPAddress], extraHosts, hostGateway: Gateway }),
        resolvConf: renderResolvConf({ hostFile: resolvers, mode: "direct", ...dns }),
        async [Symbol.asyncDispose]() { network.release(containerId, null); },
      };
    },
  };
}

async function hostText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return "";
    throw e;
  }
}

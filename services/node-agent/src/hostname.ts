import { hostname as hostnameOfHost } from "node:os";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";

/** What the container calls itself: as asked, that of the container whose network it shares, the host's, or its short ID. */
export function hostnameOf(agent: Agent, entry: Entry): string {
  const { config, hostConfig } = entry.spec;
  if (hostConfig.NetworkMode.startsWith("container:")) {
    const other = agent.entries.get(hostConfig.NetworkMode.slice("container:".length));
    if (other) return hostnameOf(agent, other);
  }
  if (config.Hostname !== "") return config.Hostname;
  return hostConfig.NetworkMode === "host" || hostConfig.UTSMode === "host" ? hostnameOfHost() : entry.id.slice(0, 12);
}

import type { EndpointSettings } from "@gantry/contracts";
import type { NetworkConfig, RestoredState } from "@gantry/network";
import { bootId } from "@gantry/kernel";
import type { RunningContainer } from "@gantry/runtime";
import { rfc3339Nano } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import { networkConfig, isDefaultBridge, portMap } from "./domain/network-config.ts";
import { restartDelay, startsWithAgent } from "./domain/restart.ts";
import { recordExit, scheduleRestart, watch } from "./exit.ts";
import { startHealthchecks } from "./health.ts";
import type { Entry } from "./model.ts";
import { change } from "./reports.ts";
import { serveNames, startContainer } from "./start.ts";

const HOST_DIED = 255;

function isRunning(found: unknown): found is RunningContainer {
  return typeof found === "object" && found !== null && "pid" in found;
}

/** Finds the containers of an earlier agent: running ones are followed again, ended ones get their exit code. */
export async function restore(agent: Agent): Promise<void> {
  for (const { spec, state } of await agent.store.load()) {
    const entry: Entry = {
      id: spec.id, dir: agent.store.dir(spec.id), spec, stored: state, running: null, ended: Promise.resolve(), waiters: new Set(), restart: null, health: null, removing: false, starting: false,
    };
    agent.entries.set(entry.id, entry);
  }
  await Promise.all([...agent.entries.values()].map((entry) => find(agent, entry)));
  await restoreNetwork(agent);
  for (const entry of agent.entries.values()) {
    const { running } = entry;
    if (!running) continue;
    await serveNames(agent, entry, running, {
      settings: entry.stored.state.networks as Record<string, EndpointSettings>,
      dns: entry.stored.networks.some(({ network }) => network.Driver === "bridge" && !isDefaultBridge(network)),
    });
    watch(agent, entry, running, startContainer);
    startHealthchecks(agent, entry);
  }
}

async function find(agent: Agent, entry: Entry): Promise<void> {
  const { stored } = entry;
  const found = await agent.runtime.find(entry.dir);
  if (isRunning(found)) {
    entry.running = found;
    // The agent died between the start and its record.
    if (stored.state.status !== "running" && stored.state.status !== "paused") {
      await adoptStart(agent, entry, rfc3339Nano(found.startedAt));
      change(agent, entry, { status: "running", exitCode: 0, pid: found.pid });
      await agent.store.save(entry.id, stored);
    }
    stored.state.pid = found.pid;
    return;
  }
  // It also ended before it was recorded.
  if (found !== null && (await agent.store.intent(entry.id))?.after === stored.state.startedAt) await adoptStart(agent, entry, null);
  const thought = stored.state.status === "running" || stored.state.status === "paused" || stored.state.status === "restarting";
  if (!thought) return;
  if (stored.state.status !== "restarting") {
    // A monitor that was killed with everything else on the host does not say how its container ended.
    const lost = found === null || (found.error !== undefined && (stored.boot ?? bootId()) !== bootId());
    recordExit(agent, entry, lost ? { exitCode: HOST_DIED, oomKilled: false, finishedAt: agent.clock.nowNano() } : found, "exited");
  }
  await agent.store.save(entry.id, stored);
}

/** Records the start that an earlier agent had begun. */
async function adoptStart(agent: Agent, entry: Entry, startedAt: string | null): Promise<void> {
  const { stored } = entry;
  const intent = await agent.store.intent(entry.id);
  stored.startedBefore = true;
  stored.stoppedByUser = false;
  stored.startKey = intent?.key ?? stored.startKey;
  stored.bindings = intent?.bindings ?? [];
  stored.userSlot = intent?.userSlot ?? stored.userSlot;
  change(agent, entry, {
    status: "running", error: "", startedAt: startedAt ?? rfc3339Nano(BigInt(intent?.at ?? agent.clock.nowNano())), networks: intent?.networks ?? stored.state.networks,
    ports: portMap(stored.bindings),
  });
}

async function restoreNetwork(agent: Agent): Promise<void> {
  const networks = new Map<string, NetworkConfig>();
  const endpoints: { networkId: string; containerId: string; ip: string; ip6: string | null }[] = [];
  const published: RestoredState["published"][number][] = [];
  for (const entry of agent.entries.values()) {
    if (!entry.running) continue;
    const settings = entry.stored.state.networks as Record<string, EndpointSettings>;
    for (const { network } of entry.stored.networks) {
      const config = networkConfig(network, agent.instance);
      const endpoint = settings[network.Name];
      if (!config || !endpoint || endpoint.IPAddress === "") continue;
      networks.set(config.id, config);
      const address = { ip: endpoint.IPAddress, ip6: endpoint.GlobalIPv6Address === "" ? null : endpoint.GlobalIPv6Address };
      endpoints.push({ networkId: config.id, containerId: entry.id, ...address });
      if (entry.stored.bindings.length > 0 && !published.some((p) => p.containerId === entry.id)) {
        published.push({ containerId: entry.id, containerName: entry.stored.name, endpointId: endpoint.EndpointID, networkId: config.id, ...address, bindings: entry.stored.bindings });
      }
    }
  }
  for (const problem of await agent.network.restore({ networks: [...networks.values()], endpoints, published })) {
    agent.logger.warn({ problem }, "could not have back all of the network");
  }
}

/** Starts what Docker starts with its daemon: restart policies of containers that do not run. */
export function startWithAgent(agent: Agent): void {
  for (const entry of agent.entries.values()) {
    const { stored, spec } = entry;
    if (entry.running || entry.restart) continue;
    const policy = spec.hostConfig.RestartPolicy;
    const { exitCode, restartCount } = stored.state;
    if (!startsWithAgent(policy, { startedBefore: stored.startedBefore, stoppedByUser: stored.stoppedByUser, exitCode, restartCount })) continue;
    stored.stoppedByUser = false;
    const delay = restartDelay(policy, { exitCode, restartCount, ranMs: 0, stoppedByUser: false, lastDelay: 0 }) ?? 0;
    scheduleRestart(agent, entry, delay, startContainer);
  }
}

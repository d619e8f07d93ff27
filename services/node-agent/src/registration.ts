import { statfs } from "node:fs/promises";
import { loadavg } from "node:os";
import type { Bus } from "@gantry/bus";
import { nodeHeartbeat, nodeRegister, type NetworkResource } from "@gantry/contracts";
import type { Scope } from "@gantry/kernel";
import { checkEpoch, type Agent } from "./context.ts";
import { describeNode, memoryUsed } from "./describe.ts";
import { keepNetwork } from "./networking.ts";

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
const DEFAULT_HEARTBEAT_MS = 5_000;

export interface Identity { readonly address: string; readonly labels: Record<string, string>; readonly stateDir: string }

/**
 * Tells the scheduler of this node: at the start, and whenever the bus or the scheduler was away, so that the scheduler asks for
 * what it missed.
 */
export function keepRegistered(agent: Agent, bus: Bus, identity: Identity, scope: Scope): void {
  const run = async () => {
    while (!agent.stopping.aborted) await heartbeats(agent, bus, identity.stateDir, await register(agent, bus, identity));
  };
  const running = run().catch((e: unknown) => {
    if (!agent.stopping.aborted) agent.logger.error({ err: e }, "the node is no longer registered");
  });
  scope.defer(() => running);
}

async function register(agent: Agent, bus: Bus, identity: Identity): Promise<number> {
  for (let delay = FIRST_RETRY_MS; ; delay = Math.min(delay * 2, LONGEST_RETRY_MS)) {
    try {
      const description = await describeNode({ nodeId: agent.nodeId, network: agent.network, ...identity });
      const { epoch, heartbeatMs, networks } = await bus.call(nodeRegister, description, { timeoutMs: 10_000 });
      if (epoch > agent.epoch) checkEpoch(agent, epoch);
      for (const network of networks) {
        await keepNetwork(agent, network as unknown as NetworkResource, false).catch((e: unknown) => agent.logger.warn({ err: e, network: network["Name"] }, "could not make a network's bridge"));
      }
      return heartbeatMs > 0 ? heartbeatMs : DEFAULT_HEARTBEAT_MS;
    } catch (e) {
      if (agent.stopping.aborted) throw e;
      agent.logger.debug({ err: e }, "not registered yet");
      await agent.clock.sleep(delay, agent.stopping);
    }
  }
}

/** Until one does not get through, or the scheduler has to ask what it was not told. */
async function heartbeats(agent: Agent, bus: Bus, stateDir: string, everyMs: number): Promise<void> {
  while (!agent.reporter.takeDropped()) {
    await agent.clock.sleep(everyMs, agent.stopping);
    const running = [...agent.entries.values()].filter((entry) => entry.running !== null).length;
    try {
      const [memoryUsedBytes, disk] = await Promise.all([memoryUsed(), statfs(stateDir)]);
      await bus.publish(nodeHeartbeat, { nodeId: agent.nodeId, running, memoryUsedBytes, cpuLoad: loadavg()[0]!, diskFreeBytes: disk.bavail * disk.bsize });
    } catch (e) {
      agent.logger.warn({ err: e }, "a heartbeat did not get through; the node registers again");
      return;
    }
  }
}

import { nodeHeartbeat, nodeRegister, type NetworkResource } from "@gantry/contracts";
import type { Scope } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import { describeNode, memoryUsed } from "./describe.ts";
import { keepNetwork } from "./networking.ts";

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
const DEFAULT_HEARTBEAT_MS = 5_000;

export interface Identity { readonly address: string; readonly labels: Record<string, string>; readonly stateDir: string }

/**
 * Tells the scheduler of this node: at the start, and whenever the bus or the scheduler was away, so that the scheduler asks for
 * what it missed. `registered` is called once, after the first time.
 */
export function keepRegistered(agent: Agent, identity: Identity, registered: () => void, scope: Scope): void {
  const run = async () => {
    let first = true;
    while (!agent.stopping.aborted) {
      const heartbeatMs = await register(agent, identity);
      if (first) registered();
      first = false;
      await heartbeats(agent, heartbeatMs);
    }
  };
  const running = run().catch((e: unknown) => {
    if (!agent.stopping.aborted) agent.logger.error({ err: e }, "the node is no longer registered");
  });
  scope.defer(() => running);
}

async function register(agent: Agent, identity: Identity): Promise<number> {
  for (let delay = FIRST_RETRY_MS; ; delay = Math.min(delay * 2, LONGEST_RETRY_MS)) {
    try {
      const description = await describeNode({ nodeId: agent.nodeId, network: agent.network, ...identity });
      const { epoch, heartbeatMs, networks } = await agent.bus.call(nodeRegister, description, { timeoutMs: 10_000 });
      agent.epoch = Math.max(agent.epoch, epoch);
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

/** Until one does not get through. */
async function heartbeats(agent: Agent, everyMs: number): Promise<void> {
  for (;;) {
    await agent.clock.sleep(everyMs, agent.stopping);
    const running = [...agent.entries.values()].filter((entry) => entry.running !== null).length;
    try {
      await agent.bus.publish(nodeHeartbeat, { nodeId: agent.nodeId, running, memoryUsedBytes: await memoryUsed() });
    } catch (e) {
      agent.logger.warn({ err: e }, "a heartbeat did not get through; the node registers again");
      return;
    }
  }
}

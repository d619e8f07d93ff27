import { nodeContainerNotice, nodeContainerReport, type ContainerState } from "@gantry/contracts";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";

/**
 * Changes the state, with the next number. Numbers are microseconds where these are larger, so that they grow even when the last
 * ones were lost with the machine. Nothing is written here.
 */
export function change(agent: Agent, entry: Entry, change: Partial<ContainerState>): void {
  entry.stored.state = { ...entry.stored.state, ...change };
  entry.stored.seq = Math.max(entry.stored.seq + 1, agent.clock.now() * 1000);
}

/** Tells the scheduler. What it does not hear now (the broker is away) it asks for when the node registers again. */
export async function report(agent: Agent, entry: Entry, action: string | null, attributes: Record<string, string> = {}): Promise<void> {
  const { seq, state } = entry.stored;
  try {
    await agent.bus.publish(nodeContainerReport, { nodeId: agent.nodeId, containerId: entry.id, seq, state, action, attributes });
  } catch (e) {
    agent.logger.warn({ err: e, container: entry.id }, "a report was not sent");
  }
}

/** For `docker events` only. */
export async function notice(agent: Agent, containerId: string, action: string, attributes: Record<string, string>): Promise<void> {
  try {
    await agent.bus.publish(nodeContainerNotice, { nodeId: agent.nodeId, containerId, action, attributes });
  } catch (e) {
    agent.logger.warn({ err: e, container: containerId, action }, "a notice was not sent");
  }
}

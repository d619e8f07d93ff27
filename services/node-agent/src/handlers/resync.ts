import { on, type Route } from "@gantry/bus";
import { nodeResync } from "@gantry/contracts";
import { checkEpoch, type Agent } from "../context.ts";

export function resyncRoutes(agent: Agent): Route[] {
  return [on(nodeResync, async ({ epoch }) => {
    checkEpoch(agent, epoch);
    return { containers: [...agent.entries.values()].map(({ id, stored }) => ({ id, seq: stored.seq, state: stored.state })) };
  })];
}

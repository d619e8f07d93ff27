import type { ContainerState } from "@gantry/contracts";
import type { Scope } from "@gantry/kernel";
import type { ExitStatus } from "@gantry/runtime";
import { counter, metric, observe } from "@gantry/telemetry/metrics";
import type { Agent } from "./context.ts";

const exits = counter(metric.containerExits);

/** The containers of this node by state, read when somebody collects. */
export function observeContainers(agent: Pick<Agent, "entries">, scope: Scope): void {
  scope.use(observe(metric.containers, (observed) => {
    const counts = new Map<ContainerState["status"], number>(metric.containers.labels.state.map((state) => [state, 0]));
    for (const { stored: { state: { status } } } of agent.entries.values()) counts.set(status, (counts.get(status) ?? 0) + 1);
    for (const [state, count] of counts) observed(count, { state });
  }));
}

export function countExit({ exitCode, oomKilled }: ExitStatus): void {
  exits.add(1, { reason: oomKilled ? "oom" : exitCode === 0 ? "success" : exitCode > 128 ? "signal" : "error" });
}

import { isGantryError, type Scope } from "@gantry/kernel";
import { counter, metric, observe } from "@gantry/telemetry/metrics";
import type { Context } from "./context.ts";
import type { NodeState } from "./domain/node.ts";
import type { Rejection } from "./domain/placement.ts";
import { listNodes } from "./store/nodes.ts";

const placements = counter(metric.placements);
const rejections = counter(metric.rejections);

/** After the transaction that placed it, which may have run more than once. */
export function countPlacement(rejected: readonly Rejection[]): void {
  placements.add(1, { outcome: "placed" });
  countRejections(rejected);
}

/** A container that fits no node; other errors are passed over. */
export function countNoNode(error: unknown): void {
  const rejected = isGantryError(error) ? error.details["rejected"] : undefined;
  if (!Array.isArray(rejected)) return;
  placements.add(1, { outcome: "no node" });
  countRejections(rejected as readonly Rejection[]);
}

function countRejections(rejected: readonly Rejection[]): void {
  for (const { filter } of rejected) rejections.add(1, { filter });
}

/** What is read when somebody collects; nodes by the active scheduler only. */
export function observeScheduler({ leader, database }: Pick<Context, "leader" | "database">, scope: Scope): void {
  scope.use(observe(metric.schedulerLeader, (observed) => observed(leader.term.aborted ? 0 : 1, {})));
  scope.use(observe(metric.schedulerEpoch, (observed) => observed(leader.epoch, {})));
  scope.use(observe(metric.nodes, async (observed) => {
    if (leader.term.aborted) return;
    const counts: Record<NodeState, number> = { ready: 0, unreachable: 0 };
    for (const { state } of await listNodes(database.query)) counts[state]++;
    for (const state of ["ready", "unreachable"] as const) observed(counts[state], { state });
  }));
}

import { on } from "@gantry/bus";
import { schedulerEcho } from "@gantry/contracts";
import { rfc3339Nano, describeError, type Scope } from "@gantry/kernel";
import type { Context } from "./context.ts";
import { emitNode } from "./docker-events.ts";
import type { NodeState } from "./domain/node.ts";
import { Superseded } from "./leadership.ts";
import { TICK_MS } from "./node-liveness.ts";
import { getNode, listNodes, saveNodeState } from "./store/nodes.ts";

/** Looks at every node's lease: calls to one whose lease has run out fail. For every scheduler. */
export function watchLeases(context: Context, scope: Scope): void {
  const timer = setInterval(() => context.liveness.tick(), TICK_MS);
  timer.unref();
  scope.defer(() => clearInterval(timer));
}

/** Says something over the broker to itself, again and again, and listens for it. */
export async function listenToItself(context: Context, instance: string, scope: Scope): Promise<void> {
  const stop = new AbortController();
  scope.use(await context.bus.subscribe([on(schedulerEcho, async (echo) => {
    if (echo.instance === instance) context.liveness.echo();
    return echo;
  })]));
  const running = (async () => {
    while (!stop.signal.aborted) {
      await context.bus.publish(schedulerEcho, { instance }).catch(() => undefined);
      await context.clock.sleep(TICK_MS, stop.signal).catch(() => undefined);
    }
  })();
  scope.defer(() => { stop.abort(); });
  running.catch((e: unknown) => context.logger.error({ err: e }, "the scheduler does not listen to itself any more"));
}

/** Records which nodes are unreachable, and which are back, for as long as the scope lasts: for the active scheduler. */
export function recordNodeStates(context: Context, scope: Scope): void {
  const stop = new AbortController();
  const recorded = new Map<string, NodeState>();
  const running = (async () => {
    for (let first = true; !stop.signal.aborted; first = false) {
      try {
        if (first) for (const { description, state } of await listNodes(context.database.query)) recorded.set(description.nodeId, state);
        for (const nodeId of new Set([...recorded.keys(), ...context.liveness.nodes()])) {
          const state = context.liveness.isAlive(nodeId) ? "ready" : "unreachable";
          if (state === (recorded.get(nodeId) ?? "ready")) continue;
          await record(context, nodeId, state);
          recorded.set(nodeId, state);
        }
      } catch (e) {
        if (e instanceof Superseded) return;
        context.logger.warn({ err: e }, `could not record the state of the nodes: ${describeError(e)}`);
      }
      await context.clock.sleep(TICK_MS, stop.signal).catch(() => undefined);
    }
  })();
  scope.defer(async () => {
    stop.abort();
    await running;
  });
}

async function record(context: Context, nodeId: string, state: NodeState): Promise<void> {
  const since = rfc3339Nano(state === "ready" ? context.clock.nowNano() : BigInt(context.liveness.heardAt(nodeId)) * 1_000_000n);
  const changed = await context.leader.transaction(async (tx, outbox) => {
    const now = await getNode(tx, nodeId);
    if (now === null || now.state === state) return false;
    await saveNodeState(tx, nodeId, state, since);
    const [fresh, old] = state === "ready" ? ["ready", "down"] : ["down", "ready"];
    await emitNode(outbox, context.clock, now.description, { "state.new": fresh, "state.old": old });
    return true;
  });
  if (changed) context.logger[state === "ready" ? "info" : "warn"]({ nodeId, since }, `node ${nodeId} is ${state}`);
}

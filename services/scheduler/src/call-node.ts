import type { CallOptions } from "@gantry/bus";
import { fail, type BodyOf, type Contract, type ReplyOf } from "@gantry/contracts";
import { isGantryError, newId, type GantryError } from "@gantry/kernel";
import type { Context } from "./context.ts";
import { unreachableText } from "./domain/node.ts";
import { Superseded } from "./leadership.ts";

type CallContract = Contract<"command"> | Contract<"query">;

const TIMEOUT_MS = 30_000;
/** How long to wait before an agent that serves nothing, although its node is heard of, is called again: it is being restarted. */
const AGAIN_MS = 100;

/**
 * A call to a node's agent. NODE_UNREACHABLE at once when the node is, and as soon as it becomes so. An agent that is being restarted is
 * waited for. A command needs this to be the active scheduler: else, and when the node obeys a later one, Superseded.
 */
export async function callNode<C extends CallContract>(context: Context, nodeId: string, contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
  const { bus, clock, leader, liveness } = context;
  const lost = liveness.lost(nodeId);
  const isCommand = contract.kind === "command";
  const signals = isCommand ? [lost, leader.term] : [lost];
  const signal = AbortSignal.any(signals);
  const key = options.key ?? newId();
  const { timeoutMs = TIMEOUT_MS } = options;
  const deadline = timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  for (;;) {
    if (isCommand) leader.check();
    if (lost.aborted) throw unreachable(context, nodeId);
    const left = deadline - performance.now();
    try {
      return await bus.call(contract, body, { ...options, key, node: nodeId, signal, timeoutMs: Number.isFinite(left) ? Math.max(1, left) : 0 });
    } catch (e) {
      if (isCommand && isGantryError(e, "STALE_EPOCH")) leader.end();
      if (isCommand && leader.term.aborted) throw new Superseded("a later scheduler is active", { cause: e });
      if (lost.aborted) throw unreachable(context, nodeId, isCommand ? { asked: true, cause: e } : { cause: e });
      if (!isGantryError(e, "UNAVAILABLE")) throw e;
      if (performance.now() + AGAIN_MS >= deadline) throw fail("NODE_UNREACHABLE", `node ${nodeId} does not answer: ${e.message}`, { cause: e });
      await clock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }
}

/** For what is recorded before the node is told. */
export function checkReachable(context: Context, nodeId: string): void {
  if (context.liveness.lost(nodeId).aborted) throw unreachable(context, nodeId);
}

/** What a call to such a node is answered. `asked`: the command was sent before the node was known to be unreachable, and lies in its queue. */
export function unreachable(context: Context, nodeId: string, { asked = false, cause }: { asked?: boolean; cause?: unknown } = {}): GantryError {
  const text = unreachableText({ nodeId, since: context.liveness.heardAt(nodeId) }, context.clock.now());
  return fail("NODE_UNREACHABLE", asked ? `${text}; what was asked of it may be done then` : text, { cause, details: { node: nodeId } });
}

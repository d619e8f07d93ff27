import { fail } from "@gantry/contracts";
import { type Backend, locate, type Located } from "./backend.ts";

/** Where to ask: as `locate` tells, or the one who has an exec. */
export interface Place { readonly nodeId: string; readonly address: string }

type AskBackend = Pick<Backend, "events">;

/**
 * Asks a node's agent. It ends when the client goes, and with NODE_UNREACHABLE when the node is lost before the answer has begun: nothing
 * else would tell, as what was sent there may wait long for its way. A stream that has begun is left alone: it may outlast a cut.
 */
export async function askNode<P extends Place, T>({ events }: AskBackend, gone: AbortSignal, find: () => Promise<P>, ask: (place: P, signal: AbortSignal) => Promise<T>): Promise<T> {
  const { seq } = events;
  const place = await find();
  const lost = new AbortController();
  const stop = events.follow(seq, ({ Type, Actor: { ID, Attributes } }) => {
    if (Type !== "node" || ID !== place.nodeId || Attributes["state.new"] !== "down") return;
    lost.abort(fail("NODE_UNREACHABLE", `node ${ID} is unreachable since now: its containers run on, and cannot be reached until it is back; what was asked of it may be done then`, { details: { node: ID } }));
  });
  try {
    return await ask(place, AbortSignal.any([gone, lost.signal]));
  } finally {
    stop();
  }
}

/** Asks the agent that has a container. */
export function askContainer<T>(backend: AskBackend & Pick<Backend, "bus">, gone: AbortSignal, ref: string, ask: (container: Located, signal: AbortSignal) => Promise<T>): Promise<T> {
  return askNode(backend, gone, () => locate(backend, ref), ask);
}

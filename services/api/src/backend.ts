import type { Bus } from "@gantry/bus";
import type { ContentStore } from "@gantry/content";
import { containerLocate, fail, type ReplyOf } from "@gantry/contracts";
import type { HttpClient, Target } from "@gantry/http";
import type { Clock, Logger } from "@gantry/kernel";
import type { Guard } from "./auth/guard.ts";
import type { EventHub } from "./event-hub.ts";
import type { LiveHub } from "./live/hub.ts";

/** What the route families are given; each takes the part that it needs. */
export interface Backend {
  readonly bus: Pick<Bus, "call" | "send" | "deadLetters">;
  readonly http: HttpClient;
  readonly events: EventHub;
  readonly live: LiveHub;
  readonly guard: Guard;
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of a build context, or of a blob that is to be one. */
  readonly maxContextBytes: number;
  readonly imageStore: Target;
}

export type Located = ReplyOf<typeof containerLocate>;

/** Where a container is, also while its node is unreachable. */
export function find(backend: Pick<Backend, "bus">, ref: string): Promise<Located> {
  return backend.bus.call(containerLocate, { ref });
}

/** Where a container is, to go there: NODE_UNREACHABLE, which says why, while nobody can. */
export async function locate(backend: Pick<Backend, "bus">, ref: string): Promise<Located> {
  const located = await find(backend, ref);
  if (located.unreachable !== undefined) throw fail("NODE_UNREACHABLE", located.unreachable, { details: { node: located.nodeId } });
  return located;
}

/** The agent that has something, as `locate` and others tell where it is. */
export function agentOf({ nodeId, address }: { readonly nodeId: string; readonly address: string }): Target {
  return { address, identity: `node/${nodeId}` };
}

/** Options of calls that take as long as the work does: bounded by the client's patience. */
export function patient(exchange: { readonly gone: AbortSignal }): { timeoutMs: number; signal: AbortSignal } {
  return { timeoutMs: 0, signal: exchange.gone };
}

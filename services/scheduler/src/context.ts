import type { Bus, CallOptions } from "@gantry/bus";
import { fail, type BodyOf, type Contract, type ReplyOf } from "@gantry/contracts";
import type { Database } from "@gantry/database";
import { isGantryError, type Clock, type Logger } from "@gantry/kernel";
import type { ImageNames } from "./image-names.ts";
import type { Leadership } from "./leadership.ts";
import type { NodeLiveness } from "./node-liveness.ts";
import type { SchedulerTables } from "./store/schema.ts";

/** What every handler works with. */
export interface Context {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly database: Database<SchedulerTables>;
  readonly leader: Leadership;
  readonly liveness: NodeLiveness;
  readonly images: ImageNames;
  /** [0, 1) */
  readonly random: () => number;
  /** Containers that `docker restart` stops just now: `--rm` does not take them away. */
  readonly restarting: Set<string>;
  /** RFC 3339 with nanoseconds: when this scheduler started. */
  readonly startedAt: string;
}

type CallContract = Contract<"command"> | Contract<"query">;

/** A call to a node's agent. NODE_UNREACHABLE says which node is away. */
export async function callNode<C extends CallContract>(context: Context, nodeId: string, contract: C, body: BodyOf<C>, options: CallOptions = {}): Promise<ReplyOf<C>> {
  try {
    return await context.bus.call(contract, body, { ...options, node: nodeId });
  } catch (e) {
    if (isGantryError(e, "UNAVAILABLE")) throw fail("NODE_UNREACHABLE", `node ${nodeId} does not answer: ${e.message}`, { cause: e });
    throw e;
  }
}

import type { Bus } from "@gantry/bus";
import type { Database } from "@gantry/database";
import type { Clock, Logger } from "@gantry/kernel";
import type { Reserve } from "./domain/demand.ts";
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
  readonly reserve: Reserve;
  /** Containers that `docker restart` stops just now: `--rm` does not take them away. */
  readonly restarting: Set<string>;
  /** The last ones that `--rm` took away: a start that is told again finds that they ran. */
  readonly ranAndGone: Set<string>;
}

export { callNode, checkReachable, unreachable } from "./call-node.ts";

import type { Bus } from "@gantry/bus";
import { relayOutbox, type Database } from "@gantry/database";
import { rfc3339Nano, type Clock, type Logger, type Scope } from "@gantry/kernel";
import { Type as T, type Static } from "typebox";
import type { Context } from "./context.ts";
import { commitRoutes } from "./handlers/commit.ts";
import { createRoutes } from "./handlers/create.ts";
import { lifecycleRoutes } from "./handlers/lifecycle.ts";
import { networkRoutes } from "./handlers/networks.ts";
import { heartbeatRoute, nodeRoutes, resync } from "./handlers/nodes.ts";
import { readRoutes } from "./handlers/read.ts";
import { removeRoutes } from "./handlers/remove.ts";
import { reportRoutes } from "./handlers/reports.ts";
import { tokenRoutes } from "./handlers/tokens.ts";
import { volumeRoutes } from "./handlers/volumes.ts";
import { ImageNames } from "./image-names.ts";
import { Leadership } from "./leadership.ts";
import { NodeLiveness } from "./node-liveness.ts";
import { migrations } from "./store/migrations.ts";
import { listNodes } from "./store/nodes.ts";
import type { SchedulerTables } from "./store/schema.ts";

/** Commands and queries handled at once; each may wait for a node. */
export const Config = T.Object({ concurrency: T.Integer({ minimum: 1, maximum: 10_000, default: 512 }) });
export type Config = Static<typeof Config>;

export interface Ports {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly database: Database<SchedulerTables>;
}

/** For whoever opens the database. */
export const databaseOptions = { service: "scheduler", migrations } as const;
export type { SchedulerTables };

/** Serves every `scheduler.*` contract; resolves when it does. */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<void> {
  const { bus, clock, database } = ports;
  const logger = ports.logger.child({ service: "scheduler" });
  const leader = new Leadership(database);
  const context: Context = {
    bus, clock, database, logger, leader, liveness: new NodeLiveness(clock), images: new ImageNames(bus), random: Math.random, restarting: new Set(), startedAt: rfc3339Nano(clock.nowNano()),
  };
  await leader.claim();
  scope.use(relayOutbox(database, bus, { logger }));
  scope.use(await bus.subscribe([heartbeatRoute(context), context.images.route()]));
  // In order, and kept while no scheduler runs.
  scope.use(await bus.subscribe(reportRoutes(context), { group: "scheduler", exclusive: true }));
  scope.use(await bus.serve("scheduler", [
    ...createRoutes(context), ...lifecycleRoutes(context), ...removeRoutes(context), ...readRoutes(context), ...commitRoutes(context),
    ...networkRoutes(context), ...volumeRoutes(context), ...nodeRoutes(context), ...tokenRoutes(context),
  ], { exclusive: true, concurrency: config.concurrency }));
  for (const node of await listNodes(database.query)) {
    // A node that is not there yet reconciles when it registers.
    resync(context, node.nodeId).catch((e: unknown) => logger.debug({ err: e, nodeId: node.nodeId }, "the node does not answer yet"));
  }
}

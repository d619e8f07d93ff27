import type { Bus } from "@gantry/bus";
import { relayOutbox, type Database } from "@gantry/database";
import type { Clock, Logger, Scope } from "@gantry/kernel";
import { Type as T, type Static } from "typebox";
import type { Context } from "./context.ts";
import { Election, LEASE } from "./election.ts";
import { handedOver, patientReads } from "./hand-over.ts";
import { commitRoutes } from "./handlers/commit.ts";
import { createRoutes } from "./handlers/create.ts";
import { lifecycleRoutes } from "./handlers/lifecycle.ts";
import { networkRoutes } from "./handlers/networks.ts";
import { heartbeatRoute, nodeReadRoutes, nodeRoutes } from "./handlers/nodes.ts";
import { readRoutes } from "./handlers/read.ts";
import { removeRoutes } from "./handlers/remove.ts";
import { reportRoutes } from "./handlers/reports.ts";
import { tokenRoutes } from "./handlers/tokens.ts";
import { volumeRoutes } from "./handlers/volumes.ts";
import { ImageNames } from "./image-names.ts";
import { Leadership } from "./leadership.ts";
import { observeScheduler } from "./metrics.ts";
import { NodeLiveness } from "./node-liveness.ts";
import { listenToItself, recordNodeStates, watchLeases } from "./node-watch.ts";
import { resyncSoon } from "./resync.ts";
import { migrations } from "./store/migrations.ts";
import { listNodes } from "./store/nodes.ts";
import type { SchedulerTables } from "./store/schema.ts";

export const Config = T.Object({
  concurrency: T.Integer({ minimum: 1, maximum: 10_000, default: 512, description: "commands and queries handled at once; each may wait for a node" }),
  reserve: T.Union([T.Literal("limits"), T.Literal("requests")], { default: "limits", description: "what is set aside for a container on its node: its limits, or only what it asks for by --memory-reservation, as on one host" }),
});
export type Config = Static<typeof Config>;

export interface Ports {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Opened with the same `instance`. */
  readonly database: Database<SchedulerTables>;
  /** Unique to this process; needed where several share a database. */
  readonly instance?: string;
}

/** For whoever opens the database. */
export const databaseOptions = { service: "scheduler", migrations } as const;
export type { SchedulerTables };

/** Attempts before a command is dead-lettered: each change of the active scheduler is one. */
const ATTEMPTS = 10;

/**
 * Answers every query of `scheduler`, and stands by to become the active scheduler, which alone handles commands and what nodes report.
 * On SQLite there is no other one. Resolves when it acts, or knows that another one does.
 */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<void> {
  const { bus, clock, database } = ports;
  const logger = ports.logger.child({ service: "scheduler" });
  const leadership = new Leadership(database);
  const instance = ports.instance ?? "only";
  const lease = database.kind === "sqlite" ? null : LEASE;
  const context: Context = {
    bus, clock, database, logger, leader: leadership, liveness: new NodeLiveness(clock, { echoes: lease !== null }), images: new ImageNames(bus), random: Math.random, reserve: config.reserve,
    restarting: new Set(), ranAndGone: new Set(),
  };
  const routes = [
    ...createRoutes(context), ...lifecycleRoutes(context), ...removeRoutes(context), ...readRoutes(context), ...commitRoutes(context),
    ...networkRoutes(context), ...volumeRoutes(context), ...nodeRoutes(context), ...nodeReadRoutes(context), ...tokenRoutes(context),
  ];
  const queries = patientReads(clock, routes.filter(({ contract }) => contract.kind === "query"));
  const commands = handedOver(leadership, routes.filter(({ contract }) => contract.kind === "command"));
  const reports = handedOver(leadership, reportRoutes(context));

  watchLeases(context, scope);
  observeScheduler(context, scope);
  if (lease !== null) await listenToItself(context, instance, scope);
  scope.use(await bus.subscribe([heartbeatRoute(context), context.images.route()]));
  scope.use(await bus.serve("scheduler", queries, { only: "queries", concurrency: config.concurrency }));
  const election = scope.use(new Election({ database, clock, logger, leadership, instance, lease, lead: async (term) => {
    term.use(relayOutbox(database, bus, { logger }));
    recordNodeStates(context, term);
    // In order, and kept while no scheduler is active.
    term.use(await bus.subscribe(reports, { group: "scheduler", exclusive: true }));
    term.use(await bus.serve("scheduler", commands, { only: "commands", exclusive: true, concurrency: config.concurrency, maxAttempts: ATTEMPTS }));
    // Tells them the epoch too. One that is not there yet reconciles when it registers.
    for (const { description } of await listNodes(database.query)) resyncSoon(context, description.nodeId);
  } }));
  await election.settled;
}

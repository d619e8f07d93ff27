import { hostname } from "node:os";
import { join } from "node:path";
import * as api from "@gantry/api";
import * as build from "@gantry/build";
import { createLocalBus, LocalBroker } from "@gantry/bus";
import { DiskContentStore } from "@gantry/content";
import { schedulerInfo } from "@gantry/contracts";
import { openDatabase, type Database, type DatabaseOptions } from "@gantry/database";
import { openDigestCache } from "@gantry/digest-cache";
import { HttpClient } from "@gantry/http";
import * as imageStore from "@gantry/image-store";
import { configFromEnv, describeError, systemClock as clock, type Scope } from "@gantry/kernel";
import * as nodeAgent from "@gantry/node-agent";
import * as scheduler from "@gantry/scheduler";
import { startTelemetry } from "@gantry/telemetry";
import { Default, Parse } from "typebox/value";
import type { Static, TSchema } from "typebox";
import type { StateDirectory } from "../state.ts";
import { loggerOf, openHost } from "./host.ts";
import { dashboardUrl, listenOnFree } from "./http-address.ts";
import { startToken } from "./start-token.ts";
import { stepNetworkOnHost } from "./step-network.ts";

/** Where the set-up builds the dashboard to. */
const DASHBOARD_DIR = join(import.meta.dirname, "../../../dashboard/dist");

export interface EmbeddedOptions {
  readonly state: StateDirectory;
  /** Path of the Docker API's socket. */
  readonly socket: string;
  /** TCP addresses of the API beside it; null: the default, on a port that is free. */
  readonly http: readonly string[] | null;
  readonly logLevel: string;
}

export interface Embedded {
  /** The TCP addresses with the token that opens them, for a browser. */
  readonly dashboards: readonly string[];
}

/**
 * Starts every service in this process on the embedded defaults: local bus, SQLite, memory cache, the image store's own blob
 * directory. Resolves when the API serves and this host takes containers. Containers of an earlier run are found again.
 */
export async function startEmbedded({ state, socket, http, logLevel }: EmbeddedOptions, scope: Scope): Promise<Embedded> {
  const logger = loggerOf(logLevel);
  const telemetry = scope.use(await startTelemetry({ service: "gantry", version: "", instance: state.nodeId, logger }, process.env));
  const broker = new LocalBroker(logger);
  const busOf = (service: string) => scope.use(createLocalBus({ service, clock, logger, broker }));
  const databaseOf = async <S>(options: DatabaseOptions): Promise<Database<S>> => scope.use(await openDatabase<S>(`sqlite:${state.path("db")}`, { ...options, clock, logger }));
  const cache = scope.use(await openDigestCache("memory:", { clock, logger }));
  const host = await openHost(state, logger, scope);
  const { native, runtime, snapshots, network } = host;
  const client = scope.use(new HttpClient());
  const content = await DiskContentStore.open({ dir: state.path("blobs"), syncfs: (fd) => native.syncfs(fd) });

  await imageStore.start(defaults(imageStore.Config, { listen: [state.sockets.imageStore] }), {
    bus: busOf("image-store"), clock, logger, content, cache, credentials: null,
    database: await databaseOf<imageStore.Tables>({ service: "image-store", migrations: imageStore.migrations }),
  }, scope);
  const schedulerBus = busOf("scheduler");
  await scheduler.start(defaults(scheduler.Config, { reserve: "requests" }), {
    bus: schedulerBus, clock, logger, database: await databaseOf<scheduler.SchedulerTables>(scheduler.databaseOptions),
  }, scope);
  await nodeAgent.start(defaults(nodeAgent.Config, {
    nodeId: state.nodeId, stateDir: state.dir, listen: state.sockets.node, instance: state.instance, cgroupParent: state.cgroupParent,
  }), { bus: busOf("node-agent"), clock, logger, content, cache, credentials: null, snapshots, native, runtime, network }, scope);
  const buildBus = busOf("build");
  await build.start(defaults(build.Config, {
    listen: state.sockets.build, stateDir: state.path("build"), imageStore: state.sockets.imageStore, worker: state.nodeId, cgroupParent: state.cgroupParent,
  }), {
    bus: buildBus, clock, logger, http: client, content, cache, snapshots, native, runtime,
    database: await databaseOf<build.BuildDatabase>({ service: "build", migrations: build.migrations }),
    stepNetwork: stepNetworkOnHost({ bus: buildBus, network, instance: state.instance }),
  }, scope);

  while ((await schedulerBus.call(schedulerInfo, {})).nodes.length === 0) await clock.sleep(5);
  const bus = busOf("api");
  const { listen } = await api.start(defaults(api.Config, { ...(http?.length === 0 ? {} : configFromEnv(api.TcpConfig, process.env)), listen: [`unix:${socket}`], imageStore: state.sockets.imageStore, rootDir: state.dir, instance: state.instance, dashboardDir: DASHBOARD_DIR }), {
    bus, clock, logger, http: client, content,
  }, scope);
  const addresses = http === null
    ? await listenOnFree(listen).then((address) => [address], (error: unknown) => { logger.warn({ error: describeError(error) }, "there is no HTTP address"); return []; })
    : await Promise.all(http.map(listen));
  void telemetry.ready();
  if (addresses.length === 0) return { dashboards: [] };
  const token = await startToken(state.path("start-token"), bus);
  return { dashboards: addresses.map((address) => dashboardUrl(address, token, hostname())) };
}

/** A configuration with the schema's defaults filled in. */
function defaults<S extends TSchema>(schema: S, given: unknown): Static<S> {
  return Parse(schema, Default(schema, given)) as Static<S>;
}

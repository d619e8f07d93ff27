import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openBus } from "@gantry/bus";
import { HttpContentStore } from "@gantry/content";
import { openDatabase } from "@gantry/database";
import { openDigestCache } from "@gantry/digest-cache";
import { openHttp } from "@gantry/http";
import { configFromEnv, systemClock } from "@gantry/kernel";
import { openHostNetwork } from "@gantry/network";
import { loadNative, startRuntime } from "@gantry/runtime";
import { openSnapshots } from "@gantry/snapshots";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Type as T } from "typebox";
import { Config, migrations, start, type BuildDatabase } from "./module.ts";
import { localStepNetwork } from "./step-network.ts";

const { env } = process;
const urls = configFromEnv(T.Object({
  busUrl: T.String({ description: "amqp://user:password@host:port/vhost" }),
  databaseUrl: T.String({ description: "postgres://user:password@host:port/database" }),
  cacheUrl: T.String({ default: "memory:", description: "redis://host:port or memory:" }),
  instance: T.String({ pattern: "^[0-9a-f]{8}$", description: "8 hex digits that the names of bridges and firewall tables on this host carry" }),
}), env);
const config = configFromEnv(Config, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "build" });
scope.use(await startTelemetry({ service: "build", version: "", instance: config.worker, logger }, env));
const shared = { clock: systemClock, logger };
mkdirSync(join(config.stateDir, "run"), { recursive: true });
const native = loadNative();
const bus = scope.use(await openBus(urls.busUrl, { service: `build ${config.worker}`, ...shared }));
const database = scope.use(await openDatabase<BuildDatabase>(urls.databaseUrl, { service: "build", migrations, ...shared }));
const cache = scope.use(await openDigestCache(urls.cacheUrl, shared));
const http = scope.use(await openHttp("service/build", env, { logger }));
const content = new HttpContentStore({ http, address: config.imageStore });
const snapshots = scope.use(await openSnapshots({ dir: join(config.stateDir, "snapshots"), native: native.fs, ...shared }));
const runtime = scope.use(await startRuntime({ socket: join(config.stateDir, "run", "spawner.sock") }));
const network = scope.use(await openHostNetwork({ native: native.net, instance: urls.instance, ...shared }));
const stepNetwork = await localStepNetwork(network, urls.instance);
await start(config, { bus, database, cache, http, content, snapshots, native: native.fs, runtime, stepNetwork, ...shared }, scope);
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

import { openBus } from "@gantry/bus";
import { DiskContentStore } from "@gantry/content";
import { openDatabase } from "@gantry/database";
import { openDigestCache } from "@gantry/digest-cache";
import { openHttp } from "@gantry/http";
import { configFromEnv, systemClock } from "@gantry/kernel";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Type as T } from "typebox";
import { Config, migrations, start, type Tables } from "./module.ts";

const { env } = process;
const { busUrl, databaseUrl, cacheUrl, blobDir } = configFromEnv(T.Object({
  busUrl: T.String({ description: "amqp://user:password@host:port/vhost" }),
  databaseUrl: T.String({ description: "postgres://user:password@host:port/database or sqlite:/directory" }),
  cacheUrl: T.String({ default: "memory:", description: "redis://host:port or memory:" }),
  blobDir: T.String({ description: "directory of the blobs" }),
}), env);
const config = configFromEnv(Config, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "image-store" });
scope.use(await startTelemetry({ service: "image-store", version: "", logger }, env));
const http = scope.use(await openHttp("service/image-store", env, { logger }));
const bus = scope.use(await openBus(busUrl, { service: "image-store", clock: systemClock, logger }));
const database = scope.use(await openDatabase<Tables>(databaseUrl, { service: "image-store", migrations, logger }));
const cache = scope.use(await openDigestCache(cacheUrl, { logger }));
const content = await DiskContentStore.open({ dir: blobDir });
await start(config, { bus, clock: systemClock, logger, database, cache, content, credentials: http.credentials }, scope);
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

import { openBus } from "@gantry/bus";
import { openDatabase } from "@gantry/database";
import { configFromEnv, newId, systemClock } from "@gantry/kernel";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Type as T } from "typebox";
import { Config, databaseOptions, start, type SchedulerTables } from "./module.ts";

const { env } = process;
const urls = configFromEnv(T.Object({
  busUrl: T.String({ description: "amqp://user:password@host:port/vhost" }),
  databaseUrl: T.String({ description: "postgres://user:password@host:port/database" }),
}), env);
const config = configFromEnv(Config, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "scheduler" });
scope.use(await startTelemetry({ service: "scheduler", version: "", logger }, env));
const shared = { clock: systemClock, logger };
const instance = newId().slice(0, 16);
/** The broker gives a cut-off scheduler's messages to the next one within three seconds. */
const heartbeatSeconds = 1;
const bus = scope.use(await openBus(urls.busUrl, { service: "scheduler", heartbeatSeconds, ...shared }));
const database = scope.use(await openDatabase<SchedulerTables>(urls.databaseUrl, { ...databaseOptions, instance, ...shared }));
await start(config, { bus, database, instance, ...shared }, scope);
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

import { openBus } from "@gantry/bus";
import { openDatabase } from "@gantry/database";
import { configFromEnv, newId, systemClock } from "@gantry/kernel";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Environment } from "./environment.ts";
import { databaseOptions, start, type SchedulerTables } from "./module.ts";

const { env } = process;
const config = configFromEnv(Environment, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "scheduler" });
const telemetry = scope.use(await startTelemetry({ service: "scheduler", version: "", logger }, env));
const shared = { clock: systemClock, logger };
const instance = newId().slice(0, 16);
/** The broker gives a cut-off scheduler's messages to the next one within three seconds. */
const heartbeatSeconds = 1;
const bus = scope.use(await openBus(config.busUrl, { service: "scheduler", heartbeatSeconds, ...shared }));
const database = scope.use(await openDatabase<SchedulerTables>(config.databaseUrl, { ...databaseOptions, instance, ...shared }));
await start(config, { bus, database, instance, ...shared }, scope);
void telemetry.ready();
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

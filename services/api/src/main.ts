import { openBus } from "@gantry/bus";
import { HttpContentStore } from "@gantry/content";
import { configFromEnv, systemClock } from "@gantry/kernel";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Type as T } from "typebox";
import { Config, start } from "./module.ts";

const { env } = process;
const { busUrl } = configFromEnv(T.Object({ busUrl: T.String({ description: "amqp://user:password@host:port/vhost" }) }), env);
const config = configFromEnv(Config, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "api" });
scope.use(await startTelemetry({ service: "api", version: config.version ?? "", logger }, env));
const bus = scope.use(await openBus(busUrl, { service: "api", clock: systemClock, logger }));
const content = scope.use(new HttpContentStore({ address: config.imageStore, headers: config.imageStoreToken === undefined ? {} : { authorization: `Bearer ${config.imageStoreToken}` } }));
await start(config, { bus, clock: systemClock, logger, content }, scope);
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

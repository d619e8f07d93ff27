import { openBus } from "@gantry/bus";
import { HttpContentStore } from "@gantry/content";
import { openHttp } from "@gantry/http";
import { configFromEnv, systemClock } from "@gantry/kernel";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Environment } from "./environment.ts";
import { start } from "./module.ts";

const { env } = process;
const config = configFromEnv(Environment, env);
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "api" });
const telemetry = scope.use(await startTelemetry({ service: "api", version: config.version ?? "", logger }, env));
const bus = scope.use(await openBus(config.busUrl, { service: "api", clock: systemClock, logger }));
const http = scope.use(await openHttp("service/api", env, { logger }));
const content = new HttpContentStore({ http, address: config.imageStore });
await start(config, { bus, clock: systemClock, logger, http, content }, scope);
void telemetry.ready();
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

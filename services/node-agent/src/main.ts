import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openBus } from "@gantry/bus";
import { HttpContentStore } from "@gantry/content";
import { openDigestCache } from "@gantry/digest-cache";
import { openHttp } from "@gantry/http";
import { configFromEnv, retry, systemClock } from "@gantry/kernel";
import { instanceOf, openHostNetwork } from "@gantry/network";
import { loadNative, startRuntime } from "@gantry/runtime";
import { openSnapshots } from "@gantry/snapshots";
import { createLogger, startTelemetry } from "@gantry/telemetry";
import { Environment } from "./environment.ts";
import { start } from "./module.ts";

const { env } = process;
const given = configFromEnv(Environment, env);
const config = { ...given, instance: instanceOf(given.instance, `node ${given.nodeId}`) };
await using scope = new AsyncDisposableStack();
const logger = createLogger({ service: "node-agent" });
const telemetry = scope.use(await startTelemetry({ service: "node-agent", version: "", instance: config.nodeId, logger }, env));
const shared = { clock: systemClock, logger };
mkdirSync(join(config.stateDir, "run"), { recursive: true });
const native = loadNative();
const cache = scope.use(await openDigestCache(config.cacheUrl, shared));
const http = scope.use(await openHttp(`node/${config.nodeId}`, env, { logger }));
const content = new HttpContentStore({ http, address: config.imageStore });
const snapshots = scope.use(await openSnapshots({ dir: join(config.stateDir, "snapshots"), native: native.fs, ...shared }));
const runtime = scope.use(await startRuntime({ socket: join(config.stateDir, "run", "spawner.sock") }));
const network = scope.use(await openHostNetwork({ native: native.net, instance: config.instance, ...shared }));
/** Containers are looked after whether there is a broker or not; its connection ends after all else, whenever it came. */
const connection = scope.use(new AsyncDisposableStack());
const closing = new AbortController();
const bus = retry(() => openBus(config.busUrl, { service: `node-agent ${config.nodeId}`, heartbeatSeconds: 3, ...shared }), {
  clock: systemClock, attempts: Number.POSITIVE_INFINITY, baseMs: 200, maxMs: 2_000, signal: closing.signal,
  onRetry: (e) => logger.warn({ err: e }, "no message broker yet; it is tried again"),
}).then(async (opened) => {
  if (!connection.disposed) return connection.use(opened);
  await opened[Symbol.asyncDispose]();
  throw new Error("the agent is being stopped");
});
bus.catch(() => {});
scope.defer(() => closing.abort());
await start(config, { bus, cache, credentials: http.credentials, content, snapshots, native: native.fs, runtime, network, ...shared }, scope);
void telemetry.ready();
await new Promise((resolve) => { for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve); });

import { mkdirSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { relayOutbox } from "@gantry/database";
import { advertised, listen } from "@gantry/http";
import { createApp } from "@gantry/http/app";
import { isGantryError, type Scope } from "@gantry/kernel";
import { digestOf } from "@gantry/oci";
import { Type as T, type Static } from "typebox";
import type { Builder } from "./build/build.ts";
import { Images } from "./build/images.ts";
import { StepCache } from "./build/step-cache.ts";
import { Contexts } from "./context/contexts.ts";
import { jobRoutes } from "./handlers/jobs.ts";
import { logRoute } from "./http/logs.ts";
import { Janitor } from "./jobs/janitor.ts";
import { JobReader } from "./jobs/reader.ts";
import { JobSignals } from "./jobs/signals.ts";
import { JobStore } from "./jobs/store.ts";
import { Upkeep } from "./jobs/upkeep.ts";
import { progressRoute, Worker } from "./jobs/worker.ts";
import { observeJobs } from "./metrics.ts";
import type { Ports } from "./ports.ts";
import { makeMountPoints } from "./steps/run.ts";

export { migrations, type BuildDatabase } from "./jobs/schema.ts";
export type { Ports, StepAttachment, StepNetwork, StepNetworkRequest } from "./ports.ts";

export const Config = T.Object({
  listen: T.String({ description: "unix:/path or host:port for the log stream; off loopback it needs certificates" }),
  advertise: T.String({ default: "", description: "address at which others reach the log stream, where it is not the one listened on" }),
  stateDir: T.String({ description: "directory for spools and running steps" }),
  imageStore: T.String({ description: "HTTP base of the image store: unix:/path or http(s)://host:port" }),
  worker: T.String({ description: "name of this worker: unique among the workers, the same after a restart" }),
  cgroupParent: T.String({ default: "gantry-build", description: "parent of the cgroups of build steps" }),
  builds: T.Integer({ default: 2, minimum: 1, maximum: 64, description: "builds at once" }),
  parallelSteps: T.Integer({ default: 4, minimum: 1, maximum: 64, description: "steps of one build at once" }),
  leaseSeconds: T.Integer({ default: 10, minimum: 1, description: "how long a build may go without a sign of its worker, in seconds; one that was killed is missed sooner" }),
  maxAttempts: T.Integer({ default: 3, minimum: 1, description: "how often one and the same step is begun when its worker is lost" }),
  maxQueuedBuilds: T.Integer({ default: 1000, minimum: 1, description: "builds that may wait; more are refused" }),
  maxBuildLogBytes: T.Integer({ default: 64 * 1024 * 1024, minimum: 1024, description: "log of one build; what is more is dropped, with a word about it" }),
  keepBuildDays: T.Integer({ default: 7, minimum: 0, description: "days that finished builds and their logs are kept" }),
  keepBuilds: T.Integer({ default: 5000, minimum: 1, description: "finished builds that are kept, the newest" }),
  keepBuildLogBytes: T.Integer({ default: 4 * 1024 * 1024 * 1024, minimum: 1024, description: "logs of finished builds together" }),
  retryHours: T.Integer({ default: 24, minimum: 0, description: "hours that the context of a finished build is kept for a retry" }),
});
export type Config = Static<typeof Config>;

export interface Running {
  /** Where logs are followed. */
  readonly address: string;
}

/** Deliveries before a command is dead-lettered: each end of a worker that had it in hand is one. */
const ATTEMPTS = 10;
const SIGKILL = 9;
const MAX_RENEW_MS = 1_000;
const HOUR_MS = 3_600_000;

/** Serves the queue `build` and the log stream, and builds. */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<Running> {
  const { bus, cache, clock, content, database, http, native, runtime, snapshots, stepNetwork } = ports;
  const logger = ports.logger.child({ service: "build" });
  const stepsDir = join(config.stateDir, "steps");
  const spoolDir = join(config.stateDir, "spool");
  // Snapshots of a host may have several users: each clears away its own only.
  const keyPrefix = `build-${digestOf(config.worker).slice(7, 15)}-`;
  await clearLeftovers(ports, stepsDir, spoolDir, keyPrefix);

  const images = new Images({ bus, http, address: config.imageStore, clock });
  const steps = new StepCache({ database, cache, images, clock });
  const builder: Builder = {
    contexts: scope.use(new Contexts({ content, spoolDir })), images, cache: steps, clock, spoolDir, parallelSteps: config.parallelSteps,
    tools: {
      content, snapshots, native, runtime, stepNetwork, logger, keyPrefix, stateDir: stepsDir, cgroupParent: config.cgroupParent,
      mountPoints: makeMountPoints(join(config.stateDir, "mount-points")),
    },
  };
  const store = new JobStore({ database, clock, maxQueued: config.maxQueuedBuilds });
  const reader = new JobReader(database);
  const upkeep = new Upkeep({ database, store, clock, maxStalled: config.maxAttempts });
  const signals = new JobSignals();
  scope.use(relayOutbox(database, bus, { logger }));

  const stopping = new AbortController();
  const app = createApp("build", logger);
  scope.defer(() => app.close());
  logRoute(app, { reader, signals, clock, stopping: stopping.signal });
  await app.ready();
  const [bound] = await listen({ addresses: [config.listen], credentials: http.credentials, allow: () => ["service/api"], logger }, { request: app.routing }, scope);
  const address = advertised(bound!, config.advertise, http.credentials);
  scope.defer(() => stopping.abort());

  const leaseMs = config.leaseSeconds * 1000;
  const renewMs = Math.min(MAX_RENEW_MS, leaseMs / 5);
  const worker = scope.use(new Worker({
    bus, clock, logger, store, signals, builder, name: config.worker, slots: config.builds, renewMs, maxLogBytes: config.maxBuildLogBytes, maxStalled: config.maxAttempts,
  }));
  observeJobs(database, () => worker.running, scope);
  scope.use(await bus.subscribe([progressRoute(worker, signals)]));
  scope.use(await bus.serve("build", jobRoutes({ bus, store, reader, cache: steps, signals, logsAddress: address }), { maxAttempts: ATTEMPTS }));
  await upkeep.takeBack(config.worker);
  await worker.start();
  scope.use(new Janitor({
    bus, clock, logger, upkeep, cache: steps, name: config.worker, leaseMs, renewMs, retryMs: config.retryHours * HOUR_MS,
    retention: { days: config.keepBuildDays, jobs: config.keepBuilds, logBytes: config.keepBuildLogBytes },
  }));
  return { address };
}

/** What an earlier life of this worker left when it was killed: steps that still run, their directories and snapshots, spools. */
async function clearLeftovers({ runtime, snapshots, logger }: Ports, stepsDir: string, spoolDir: string, keyPrefix: string): Promise<void> {
  for (const id of await readdir(stepsDir).catch(() => [])) {
    const step = await runtime.find(join(stepsDir, id));
    if (step === null || !("kill" in step)) continue;
    logger.warn({ container: id }, "ending a build step that outlived its build service");
    await step.kill(SIGKILL).catch((e: unknown) => { if (!isGantryError(e, "NOT_RUNNING")) throw e; });
    await step.exited;
  }
  await rm(spoolDir, { recursive: true, force: true });
  for (const { key } of await snapshots.list()) if (key.startsWith(keyPrefix)) await snapshots.remove(key);
  await rm(stepsDir, { recursive: true, force: true });
  mkdirSync(stepsDir, { recursive: true, mode: 0o711 });
  mkdirSync(spoolDir, { recursive: true, mode: 0o700 });
}

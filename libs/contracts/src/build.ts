import { Type as T, type Static } from "typebox";
import { Digest, Empty, Id, Nullable, Ref, StringMap } from "./common.ts";
import { command, event, job, query } from "./message.ts";

/** What to build. `context`: digest of the context tar (uncompressed, gzip, bzip2, xz or zstd as the client sent it) in the image store. */
export const BuildSpec = T.Object({
  context: Nullable(Digest),
  dockerfile: T.String({ description: "path within the context" }),
  /** The Dockerfile itself: then `dockerfile` says nothing, and the context may be null. */
  dockerfileText: T.Optional(Nullable(T.String({ maxLength: 1024 * 1024 }))),
  tags: T.Array(Ref),
  buildArgs: T.Record(T.String(), Nullable(T.String())),
  labels: StringMap,
  target: T.String(),
  noCache: T.Boolean(),
  pull: T.Boolean(),
  rm: T.Boolean(),
  forceRm: T.Boolean(),
  quiet: T.Boolean(),
  cacheFrom: T.Array(T.String()),
  networkMode: T.String(),
  extraHosts: T.Array(T.String()),
  memory: T.Integer(),
  cpuShares: T.Integer(),
  shmSize: T.Integer(),
  squash: T.Boolean(),
  platform: T.String(),
  /** Credentials by registry, as in X-Registry-Config. */
  auth: T.Record(T.String(), T.Unknown()),
  /** Pushes each tag when the image is made. A push that fails fails the job. */
  push: T.Optional(T.Boolean()),
});
export type BuildSpec = Static<typeof BuildSpec>;

export const BuildState = T.Union([T.Literal("queued"), T.Literal("running"), T.Literal("succeeded"), T.Literal("failed"), T.Literal("cancelled")]);

export type BuildState = Static<typeof BuildState>;

export const BuildStepState = T.Union([
  T.Literal("pending"), T.Literal("running"), T.Literal("done"), T.Literal("cached"), T.Literal("failed"), T.Literal("cancelled"),
]);
export type BuildStepState = Static<typeof BuildStepState>;

/** One instruction of a build; `number` is that of `Step number/total`. Times in RFC 3339. `worker`, `attempt`: who did it last. */
export const BuildStep = T.Object({
  number: T.Integer({ minimum: 1 }), instruction: T.String(), state: BuildStepState, imageId: Nullable(Digest), worker: Nullable(T.String()), attempt: T.Integer(),
  startedAt: Nullable(T.String()), finishedAt: Nullable(T.String()), error: Nullable(T.String()),
});
export type BuildStep = Static<typeof BuildStep>;

export const BuildJob = T.Object({
  id: Id, state: BuildState, spec: BuildSpec, imageId: Nullable(Digest), error: Nullable(T.String()), attempts: T.Integer(),
  createdAt: T.String(), startedAt: Nullable(T.String()), finishedAt: Nullable(T.String()), worker: Nullable(T.String()),
  step: T.Integer(), steps: T.Integer(),
  /** The job that this one repeats. */
  retryOf: Nullable(Id),
  /** Somebody asked to cancel it, and its worker has not stopped yet. */
  cancelling: T.Boolean(),
});
export type BuildJob = Static<typeof BuildJob>;

const Logs = T.String({ description: "HTTP base of a build service that can stream its logs" });

/**
 * `id` is the idempotency key, chosen by the caller: the same again answers as before, another spec under the same ID is a CONFLICT.
 * QUEUE_FULL when too many jobs wait.
 */
export const buildSubmit = command("build.job.submit.v1", T.Object({ id: Id, spec: BuildSpec }), T.Object({ id: Id, logs: Logs }));
/**
 * A new job `id` with the spec of the finished job `of`, which stays as it is; the cached steps of that one are its start. CONFLICT
 * while `of` is not over, and when its context is no longer kept. Credentials are not kept: `auth` brings them anew.
 */
export const buildRetry = command("build.job.retry.v1", T.Object({ id: Id, of: Id, auth: T.Record(T.String(), T.Unknown()) }), T.Object({ id: Id, logs: Logs }));
export const buildGet = query("build.job.get.v1", T.Object({ id: Id }), BuildJob);
/** The ID of the one job whose ID begins so. */
export const buildResolve = query("build.job.resolve.v1", T.Object({ prefix: T.String({ pattern: "^[0-9a-f]{4,64}$" }) }), T.Object({ id: Id }));
/** The steps of a job, as far as its Dockerfile has been read. */
export const buildSteps = query("build.job.steps.v1", T.Object({ id: Id }), T.Object({ steps: T.Array(BuildStep) }));
/** Newest first. `cursor`: the `next` of the page before; null: there is no more. `label`: of the image, `key` or `key=value`. */
export const buildList = query("build.job.list.v1",
  T.Object({
    limit: T.Integer({ minimum: 1, maximum: 1000 }), cursor: T.Optional(T.String({ maxLength: 200 })), states: T.Optional(T.Array(BuildState)), tag: T.Optional(Ref),
    label: T.Optional(T.String({ maxLength: 4096 })),
  }),
  T.Object({ jobs: T.Array(BuildJob), next: Nullable(T.String()) }));
/** Where a job's log can be read: the address of the service that answers. Any one can, as logs are in the database. */
export const buildLogs = query("build.job.logs.v1", T.Object({ id: Id }), T.Object({ logs: Logs }));
/** A queued job ends at once, a running one when its worker has heard of it. No error when it is over already. */
export const buildCancel = command("build.job.cancel.v1", T.Object({ id: Id }), Empty);
/** `docker builder prune`: forgets every cached step. */
export const buildCachePrune = command("build.cache.prune.v1", T.Object({ all: T.Boolean() }), T.Object({ deleted: T.Array(T.String()), spaceReclaimed: T.Integer() }));

/** Whether a worker is there: its queue goes with its connection, so a call to one that is gone fails at once (UNAVAILABLE). */
export const workerPing = query("worker.ping.v1", Empty, T.Object({ jobs: T.Integer() }));

/** The work queue: each message says that a job waits. A worker claims one in the database by lease and epoch, the oldest first, then acknowledges. */
export const buildRun = job("build.job.run.v1", T.Object({ id: Id }));
/** New log rows or a change of state: readers then read from the database. Carries no log text. */
export const buildProgress = event("build.job.progress.v1", T.Object({ id: Id, seq: T.Integer(), state: BuildState }));

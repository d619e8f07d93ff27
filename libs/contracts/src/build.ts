import { Type as T, type Static } from "typebox";
import { Digest, Empty, Id, Nullable, Ref, StringMap } from "./common.ts";
import { command, event, job, query } from "./message.ts";

/** What to build. `context`: digest of the context tar (uncompressed, gzip, bzip2, xz or zstd as the client sent it) in the image store. */
export const BuildSpec = T.Object({
  context: Nullable(Digest),
  dockerfile: T.String({ description: "path within the context" }),
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
});
export type BuildSpec = Static<typeof BuildSpec>;

export const BuildState = T.Union([T.Literal("queued"), T.Literal("running"), T.Literal("succeeded"), T.Literal("failed"), T.Literal("cancelled")]);

export type BuildState = Static<typeof BuildState>;

export const BuildJob = T.Object({
  id: Id, state: BuildState, spec: BuildSpec, imageId: Nullable(Digest), error: Nullable(T.String()), attempts: T.Integer(),
  createdAt: T.String(), startedAt: Nullable(T.String()), finishedAt: Nullable(T.String()), worker: Nullable(T.String()),
  step: T.Integer(), steps: T.Integer(),
});
export type BuildJob = Static<typeof BuildJob>;

/** `id` is the idempotency key, chosen by the caller. */
export const buildSubmit = command("build.job.submit.v1", T.Object({ id: Id, spec: BuildSpec }), T.Object({ id: Id, logs: T.String({ description: "HTTP base of a build service that can stream its logs" }) }));
export const buildGet = query("build.job.get.v1", T.Object({ id: Id }), BuildJob);
export const buildList = query("build.job.list.v1", T.Object({ limit: T.Integer({ minimum: 1, maximum: 1000 }) }), T.Object({ jobs: T.Array(BuildJob) }));
export const buildCancel = command("build.job.cancel.v1", T.Object({ id: Id }), Empty);
/** `docker builder prune`: forgets every cached step. */
export const buildCachePrune = command("build.cache.prune.v1", T.Object({ all: T.Boolean() }), T.Object({ deleted: T.Array(T.String()), spaceReclaimed: T.Integer() }));

/** The work queue. A worker claims the job in the database by lease and epoch, then acknowledges. */
export const buildRun = job("build.job.run.v1", T.Object({ id: Id }));
/** New log rows or a change of state: readers then read from the database. Carries no log text. */
export const buildProgress = event("build.job.progress.v1", T.Object({ id: Id, seq: T.Integer(), state: BuildState }));

import { type BuildJob, BuildState, type BuildStep, BuildStepState } from "@gantry/contracts";
import { type Static, Type as T } from "typebox";

const Nullable = <S extends Parameters<typeof T.Union>[0][number]>(schema: S) => T.Union([schema, T.Null()]);
const Text = T.String();
const Time = T.String({ format: "date-time" });

const build = {
  id: T.String({ pattern: "^[0-9a-f]{64}$" }),
  state: BuildState,
  cancelling: T.Boolean({ description: "somebody asked to cancel it, and it has not stopped yet" }),
  tags: T.Array(Text), labels: T.Record(Text, Text), target: Text, platform: Text, push: T.Boolean(),
  context: Nullable(T.String({ description: "digest of the context" })),
  imageId: Nullable(Text), error: Nullable(Text),
  attempts: T.Integer({ description: "workers that began it" }), worker: Nullable(T.String({ description: "who has it, or had it last" })),
  step: T.Integer({ description: "last step begun" }), totalSteps: T.Integer({ description: "0: the Dockerfile has not been read yet" }),
  retryOf: Nullable(T.String({ description: "the build that this one repeats" })),
  createdAt: Time, startedAt: Nullable(Time), finishedAt: Nullable(Time), durationMs: Nullable(T.Integer({ description: "from its start to its end, or to now" })),
  logs: T.String({ format: "uri-reference" }),
};

export const Build = T.Object(build, { $id: "Build", description: "a build job" });
export type Build = Static<typeof Build>;

export const Step = T.Object({
  number: T.Integer(), instruction: Text, state: BuildStepState, cached: T.Boolean(), imageId: Nullable(Text), worker: Nullable(Text), attempt: T.Integer(),
  startedAt: Nullable(Time), finishedAt: Nullable(Time), durationMs: Nullable(T.Integer()), error: Nullable(Text),
});

export const BuildDetail = T.Object({ ...build, dockerfile: Text, steps: T.Array(Step) }, { $id: "BuildDetail", description: "a build job with its steps" });
export type BuildDetail = Static<typeof BuildDetail>;

export function viewOf(job: BuildJob, now: number): Build {
  const { spec } = job;
  return {
    id: job.id, state: job.state, cancelling: job.cancelling, tags: spec.tags, labels: spec.labels, target: spec.target, platform: spec.platform, push: spec.push ?? false,
    context: spec.context, imageId: job.imageId, error: job.error, attempts: job.attempts, worker: job.worker, step: job.step, totalSteps: job.steps, retryOf: job.retryOf,
    createdAt: job.createdAt, startedAt: job.startedAt, finishedAt: job.finishedAt, durationMs: durationOf(job, now), logs: `/v1/builds/${job.id}/logs`,
  };
}

export function detailOf(job: BuildJob, steps: readonly BuildStep[], now: number): BuildDetail {
  return {
    ...viewOf(job, now), dockerfile: job.spec.dockerfile,
    steps: steps.map((step) => ({ ...step, cached: step.state === "cached", durationMs: durationOf(step, now) })),
  };
}

/** null: it has not begun. */
function durationOf({ startedAt, finishedAt }: { startedAt: string | null; finishedAt: string | null }, now: number): number | null {
  if (startedAt === null) return null;
  return Math.max(0, (finishedAt === null ? now : Date.parse(finishedAt)) - Date.parse(startedAt));
}

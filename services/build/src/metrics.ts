import type { Database } from "@gantry/database";
import type { Scope } from "@gantry/kernel";
import { counter, histogram, metric, observe } from "@gantry/telemetry/metrics";
import type { BuildDatabase } from "./jobs/schema.ts";

export const builds = counter(metric.builds);
export const buildDurations = histogram(metric.buildDuration);
export const queueWaits = histogram(metric.buildQueueWait);
export const steps = counter(metric.buildSteps);
export const stepDurations = histogram(metric.buildStepDuration);

/** What is counted when somebody collects. */
export function observeJobs(database: Database<BuildDatabase>, running: () => number, scope: Scope): void {
  scope.use(observe(metric.buildsRunning, (observed) => observed(running(), {})));
  scope.use(observe(metric.buildsQueued, async (observed) => {
    const { waiting } = await database.query.selectFrom("build_job").select((eb) => eb.fn.countAll<number>().as("waiting")).where("state", "=", "queued").executeTakeFirstOrThrow();
    observed(Number(waiting), {});
  }));
}

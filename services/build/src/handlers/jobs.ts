import { type Bus, on, type Route } from "@gantry/bus";
import { blobStat, buildCachePrune, buildCancel, buildGet, buildList, buildLogs, buildProgress, buildResolve, buildRetry, buildSteps, buildSubmit, type BuildSpec, fail, imagePrune } from "@gantry/contracts";
import { parseReference } from "@gantry/oci";
import type { StepCache } from "../build/step-cache.ts";
import { shownJob } from "../domain/job.ts";
import type { JobReader } from "../jobs/reader.ts";
import type { JobSignals } from "../jobs/signals.ts";
import type { JobStore } from "../jobs/store.ts";

export interface JobHandlers {
  readonly bus: Bus;
  readonly store: JobStore;
  readonly reader: JobReader;
  readonly cache: StepCache;
  readonly signals: JobSignals;
  /** HTTP base where logs are followed. */
  readonly logsAddress: string;
}

const MAX_TAGS = 64;

export function jobRoutes({ bus, store, reader, cache, signals, logsAddress }: JobHandlers): Route[] {
  const submit = async (id: string, spec: BuildSpec, retryOf: string | null) => {
    checkSpec(spec);
    await store.submit(id, spec, retryOf);
    // For those who look at the list: nobody waits for it.
    bus.publish(buildProgress, { id, seq: 0, state: "queued" }).catch(() => {});
    return { id, logs: logsAddress };
  };
  return [
    on(buildSubmit, ({ id, spec }) => submit(id, spec, null)),
    on(buildRetry, async ({ id, of, auth }) => {
      const spec = await store.specToRetry(of);
      if (spec.context !== null && (await bus.call(blobStat, { digest: spec.context })).size === null) {
        throw fail("CONFLICT", `the context of build ${of} is no longer kept: submit the build again`);
      }
      return await submit(id, { ...spec, auth }, of);
    }),
    on(buildGet, async ({ id }) => shownJob(await reader.get(id))),
    on(buildResolve, async ({ prefix }) => ({ id: await reader.resolve(prefix) })),
    on(buildSteps, async ({ id }) => {
      await reader.get(id);
      return { steps: await store.steps(id) };
    }),
    on(buildList, async (query) => {
      const { jobs, next } = await reader.list(query);
      return { jobs: jobs.map(shownJob), next };
    }),
    on(buildLogs, async ({ id }) => {
      await reader.get(id);
      return { logs: logsAddress };
    }),
    on(buildCancel, async ({ id }) => {
      await store.cancel(id);
      signals.notify(id);
      return {};
    }),
    on(buildCachePrune, async () => {
      const deleted = await cache.prune();
      // What only the cache kept is dangling now.
      const { spaceReclaimed } = await bus.call(imagePrune, { filters: {} }, { timeoutMs: 600_000 });
      return { deleted, spaceReclaimed };
    }),
  ];
}

/** What would only fail after the build: names that cannot be tags. */
function checkSpec(spec: BuildSpec): void {
  if (spec.tags.length > MAX_TAGS) throw fail("INVALID", `more than ${MAX_TAGS} tags`);
  for (const tag of spec.tags) if (parseReference(tag).digest !== null) throw fail("INVALID", "build tag cannot contain a digest");
  if (spec.push === true && spec.tags.length === 0) throw fail("INVALID", "a build that is to be pushed needs a tag");
  if (spec.squash) throw fail("INVALID", "squash is only supported with experimental mode");
}

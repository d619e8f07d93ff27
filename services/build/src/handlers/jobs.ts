import { type Bus, on, type Route } from "@gantry/bus";
import { buildCachePrune, buildCancel, buildGet, buildList, buildSubmit, type BuildSpec, fail, imagePrune } from "@gantry/contracts";
import { parseReference } from "@gantry/oci";
import type { StepCache } from "../build/step-cache.ts";
import { shownJob } from "../domain/job.ts";
import type { JobSignals } from "../jobs/signals.ts";
import type { JobStore } from "../jobs/store.ts";

export interface JobHandlers {
  readonly bus: Bus;
  readonly store: JobStore;
  readonly cache: StepCache;
  readonly signals: JobSignals;
  /** HTTP base where logs are followed. */
  readonly logsAddress: string;
}

const MAX_TAGS = 64;

export function jobRoutes({ bus, store, cache, signals, logsAddress }: JobHandlers): Route[] {
  return [
    on(buildSubmit, async ({ id, spec }) => {
      checkSpec(spec);
      await store.submit(id, spec);
      return { id, logs: logsAddress };
    }),
    on(buildGet, async ({ id }) => shownJob(await store.get(id))),
    on(buildList, async ({ limit }) => ({ jobs: (await store.list(limit)).map(shownJob) })),
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
  if (spec.squash) throw fail("INVALID", "squash is only supported with experimental mode");
}

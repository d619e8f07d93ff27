import type { Bus } from "@gantry/bus";
import { fail } from "@gantry/contracts";
import { type Clock, describeError, GantryError, isGantryError, type Logger } from "@gantry/kernel";
import type { metric, LabelValues } from "@gantry/telemetry/metrics";
import { recordFailure } from "@gantry/telemetry/trace";
import { context, propagation, trace } from "@opentelemetry/api";
import { type Builder, runBuild } from "../build/build.ts";
import type { BuildProgress } from "../build/job.ts";
import { errorMessage, quietLine, rowsOf, type LogRow } from "../domain/messages.ts";
import { builds, buildDurations, queueWaits } from "../metrics.ts";
import { JobLog } from "./log.ts";
import type { JobSignals } from "./signals.ts";
import type { Claim, JobStore } from "./store.ts";

export interface JobTools {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: JobStore;
  readonly signals: JobSignals;
  readonly builder: Builder;
  /** Bytes of log that one job may write. */
  readonly maxLogBytes: number;
  /** How often one and the same step is begun. */
  readonly maxStalled: number;
}

/** Why a job is stopped from outside. */
export const CANCELLED = fail("BUILD_FAILED", "build cancelled");
export const STOPPING = fail("UNAVAILABLE", "the build worker is stopping");

const tracer = trace.getTracer("@gantry/build");
type Result = LabelValues<typeof metric.builds.labels>["result"];
/** Lines that a quiet build keeps, to tell when it fails. */
const QUIET_LINES = 10_000;

/** Builds a claimed job, and writes down how it ends. Never throws. */
export async function runJob(tools: JobTools, claim: Claim, stop: AbortController): Promise<void> {
  const { bus, clock, logger, store, signals, builder } = tools;
  const log = new JobLog({ store, signals, bus, clock, logger, claim, maxBytes: tools.maxLogBytes, signal: stop.signal, onLost: (e) => stop.abort(e) });
  const kept: LogRow[] | null = claim.spec.quiet ? [] : null;
  logger.info({ build: claim.id, attempt: claim.attempt }, claim.resumed === null ? "build begins" : "build goes on");
  const began = performance.now();
  let result: Result = "succeeded";
  if (claim.waitedMs !== null) queueWaits.record(claim.waitedMs / 1000, {});
  // Each attempt goes on with the trace of who submitted the job; the message that woke this worker is another's, after a takeover.
  const parent = claim.trace === null ? context.active() : propagation.extract(context.active(), claim.trace);
  const woken = trace.getSpanContext(context.active());
  const attributes = { "gantry.build.id": claim.id, "gantry.build.attempt": claim.attempt, "gantry.build.worker": claim.worker };
  await tracer.startActiveSpan("build", { attributes, links: woken === undefined ? [] : [{ context: woken }] }, parent, async (span) => {
    try {
      const fence = { key: claim.id, epoch: claim.epoch };
      if (claim.resumed !== null) await builder.images.fence(fence);
      const imageId = await runBuild(builder, { id: `${claim.id}-${claim.epoch}`, spec: claim.spec, signal: stop.signal, progress: kept === null ? log : quietly(log, kept), fence });
      await log.finish({ state: "succeeded", imageId, error: null }, ...(kept === null ? [] : rowsOf(log.tail, quietLine(imageId))));
      logger.info({ build: claim.id, image: imageId }, "build succeeded");
    } catch (error) {
      recordFailure(span, error);
      result = await failed(tools, claim, log, kept ?? [], error, stop.signal.aborted ? stop.signal.reason : null);
    } finally {
      span.setAttribute("gantry.build.result", result).end();
      builds.add(1, { result });
      buildDurations.record((performance.now() - began) / 1000, { result });
      signals.notify(claim.id);
    }
  });
}

function quietly(log: JobLog, kept: LogRow[]): BuildProgress {
  return {
    write: (...rows) => { if (kept.length < QUIET_LINES) kept.push(...rows); },
    ready: () => log.ready(), plan: (instructions) => log.plan(instructions), begin: (step) => log.begin(step),
    end: (step, state, imageId, after) => log.end(step, state, imageId, after), imageOf: (step) => log.imageOf(step),
  };
}

/** `kept`: what a quiet build has held back. */
async function failed({ logger, store, maxStalled }: JobTools, claim: Claim, log: JobLog, kept: readonly LogRow[], error: unknown, reason: unknown): Promise<Result> {
  if (isGantryError(error, "STALE_EPOCH") || isGantryError(reason, "STALE_EPOCH")) {
    logger.warn({ build: claim.id, error: describeError(reason ?? error) }, "build given up: another worker has it");
    return "lost";
  }
  try {
    const cancelled = reason === CANCELLED;
    const passing = !cancelled && (isGantryError(error, "UNAVAILABLE") || isGantryError(error, "TIMEOUT"));
    if (reason === STOPPING || (passing && claim.stalled < maxStalled)) {
      await log.flush();
      await store.release(claim, reason !== STOPPING);
      if (reason !== STOPPING) logger.warn({ build: claim.id, error: describeError(error) }, "build put off: what it needs is away");
      return "released";
    }
    if (!cancelled && !(error instanceof GantryError)) logger.error({ build: claim.id, err: error }, `build failed: ${describeError(error)}`);
    const message = cancelled ? CANCELLED.message : error instanceof GantryError ? error.message : `internal error: ${describeError(error)}`;
    const code = !cancelled && error instanceof GantryError && typeof error.details["code"] === "number" ? error.details["code"] : null;
    // Where nothing was told, the error alone is the answer.
    const last = log.empty && kept.length === 0 ? [] : [...kept, ...rowsOf(log.tail, errorMessage(message, code))];
    await log.finish({ state: cancelled ? "cancelled" : "failed", imageId: null, error: message }, ...last);
    logger.info({ build: claim.id, error: message }, cancelled ? "build cancelled" : "build failed");
    return cancelled ? "cancelled" : "failed";
  } catch (e) {
    if (isGantryError(e, "STALE_EPOCH")) logger.warn({ build: claim.id }, "build given up: another worker has it");
    // The lease runs out, and the job goes back on the queue.
    else logger.error({ build: claim.id, error: describeError(e) }, "cannot write the end of a build");
    return "lost";
  }
}

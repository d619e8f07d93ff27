import { nodeContainerRemove, nodeResync, type ContainerState } from "@gantry/contracts";
import { describeError, isGantryError, rfc3339Nano } from "@gantry/kernel";
import { applyState } from "./apply-state.ts";
import { callNode, type Context } from "./context.ts";
import { emitContainer } from "./docker-events.ts";
import { lost } from "./domain/state.ts";
import { afterState } from "./handlers/auto-remove.ts";
import { Superseded } from "./leadership.ts";
import { containersOnNode, deleteContainer, getContainer, saveState } from "./store/containers.ts";
import { endRemoval, removalsOn } from "./store/removals.ts";
import { forgetVolumes } from "./volumes.ts";

const TIMEOUT_MS = 60_000;
const REMOVE_TIMEOUT_MS = 120_000;
/** A creation that nobody carried on for this long is not carried on any more. */
const ABANDONED_MS = 20 * 60_000;

/** `resync` in the background. What fails is done when the node registers, or comes back, the next time. */
export function resyncSoon(context: Context, nodeId: string): void {
  resync(context, nodeId).catch((e: unknown) => {
    if (!(e instanceof Superseded)) context.logger.info({ nodeId }, `could not reconcile with node ${nodeId} yet: ${describeError(e)}`);
  });
}

/**
 * Records and a node agree again: it removes what was to be removed while it was away, newer states are taken, containers that the node
 * has no more are marked (or, if they were run with --rm, taken off the list), and `--rm` containers that ended meanwhile are removed.
 */
export async function resync(context: Context, nodeId: string): Promise<void> {
  await settleRemovals(context, nodeId);
  const before = await containersOnNode(context.database.query, nodeId);
  const { containers } = await callNode(context, nodeId, nodeResync, { epoch: context.leader.epoch }, { timeoutMs: TIMEOUT_MS });
  const reported = new Map(containers.map((c) => [c.id, c]));
  for (const record of before) {
    const report = reported.get(record.id);
    reported.delete(record.id);
    await reconcile(context, record.id, record.seq, report ?? null);
  }
  const waiting = new Set((await removalsOn(context.database.query, nodeId)).map(({ id }) => id));
  for (const id of reported.keys()) {
    if (!waiting.has(id) && await getContainer(context.database.query, id) === null) context.logger.warn({ nodeId, container: id }, "the node has a container that no record knows; it is left alone");
  }
}

async function reconcile(context: Context, id: string, seqBefore: number, report: { state: ContainerState; seq: number } | null): Promise<void> {
  const now = context.clock.now();
  const after = await context.leader.transaction(async (tx, outbox) => {
    const current = await getContainer(tx, id);
    if (current === null) return null;
    if (current.seq === 0) {
      // Whoever creates it carries on, also after a change of the scheduler: the command is delivered again.
      if (now - Date.parse(current.created) < ABANDONED_MS) return null;
      if (report === null) {
        await deleteContainer(tx, id);
        return null;
      }
      await saveState(tx, id, report.state, report.seq);
      await emitContainer(outbox, context.clock, current, "create");
    } else if (report !== null) {
      await applyState(tx, outbox, context.clock, id, report.state, report.seq);
    } else if (current.spec.hostConfig.AutoRemove) {
      await deleteContainer(tx, id);
      await emitContainer(outbox, context.clock, current, "destroy");
    } else if (current.seq === seqBefore) {
      await applyState(tx, outbox, context.clock, id, lost(current.state, rfc3339Nano(context.clock.nowNano())), current.seq + 1);
    }
    return getContainer(tx, id);
  });
  if (after !== null) afterState(context, after);
}

/** The node removes what was taken off the list while it could not be reached. */
export async function settleRemovals(context: Context, nodeId: string): Promise<void> {
  for (const { id, volumes } of await removalsOn(context.database.query, nodeId)) {
    let removedVolumes: string[] = [];
    try {
      ({ removedVolumes } = await callNode(context, nodeId, nodeContainerRemove, { id, epoch: context.leader.epoch, force: true, volumes }, { timeoutMs: REMOVE_TIMEOUT_MS }));
    } catch (e) {
      if (!isGantryError(e, "NO_SUCH_CONTAINER")) throw e;
    }
    await context.leader.transaction(async (tx, outbox) => {
      await endRemoval(tx, id);
      await forgetVolumes(context, tx, outbox, removedVolumes);
    });
  }
}

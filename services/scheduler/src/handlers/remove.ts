import { on, type Route } from "@gantry/bus";
import { containerPrune, containerRemove, fail, nodeContainerRemove, nodeContainerSize } from "@gantry/contracts";
import { isGantryError, rfc3339Nano, type GantryError } from "@gantry/kernel";
import { callNode, unreachable, type Context } from "../context.ts";
import { emit, emitContainer } from "../docker-events.ts";
import { checkFilters, matchesLabels } from "../domain/filters.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { isRunning } from "../domain/state.ts";
import { untilMillis } from "../domain/until.ts";
import { deleteContainer, listContainers, resolveContainer } from "../store/containers.ts";
import { addRemoval } from "../store/removals.ts";
import { forgetVolumes } from "../volumes.ts";

const TIMEOUT_MS = 120_000;

/**
 * Takes a container away: from its node, then from the records, with Docker's `destroy` event. With `force` also while its node is
 * unreachable: the node removes it when it is back. `key`: the same for each time that the same is told.
 */
export async function removeContainer(context: Context, record: ContainerRecord, options: { force: boolean; volumes: boolean; key?: string }): Promise<void> {
  const { id, nodeId, name, state } = record;
  // What is known of it may be old: whether it runs is not to be said.
  if (!options.force && context.liveness.lost(nodeId).aborted) throw cannotRemove(name, unreachable(context, nodeId));
  if (!options.force && state.status === "paused") {
    throw fail("CONFLICT", `cannot remove container "/${name}": container is paused and must be unpaused first`);
  }
  if (!options.force && isRunning(state)) {
    throw fail("RUNNING", `cannot remove container "/${name}": container is running: stop the container before removing or force remove`);
  }
  if (!options.force && state.status === "restarting") {
    throw fail("CONFLICT", `cannot remove container "/${name}": container is restarting: stop the container before removing or force remove`);
  }
  let removedVolumes: string[] = [];
  let later = false;
  try {
    ({ removedVolumes } = await callNode(context, nodeId, nodeContainerRemove, { id, epoch: context.leader.epoch, force: options.force, volumes: options.volumes },
      { timeoutMs: TIMEOUT_MS, ...(options.key === undefined ? {} : { key: `${options.key}/remove` }) }));
  } catch (e) {
    if (isGantryError(e, "NODE_UNREACHABLE")) {
      if (!options.force) throw cannotRemove(name, e);
      later = true;
    } else if (!isGantryError(e, "NO_SUCH_CONTAINER")) {
      // Else it is gone from the node already: only the record is left.
      throw e;
    }
  }
  await context.leader.transaction(async (tx, outbox) => {
    if (!await deleteContainer(tx, id)) return;
    if (later) await addRemoval(tx, { id, volumes: options.volumes }, nodeId, rfc3339Nano(context.clock.nowNano()));
    await forgetVolumes(context, tx, outbox, removedVolumes);
    await emitContainer(outbox, context.clock, record, "destroy");
  });
}

function cannotRemove(name: string, why: GantryError): GantryError {
  return fail("NODE_UNREACHABLE", `cannot remove container "/${name}": ${why.message}; with -f it is taken off the list, and its node removes it then`, { cause: why, details: { ...why.details } });
}

export function removeRoutes(context: Context): Route[] {
  return [
    on(containerRemove, async ({ ref, force, volumes }, { messageId, redelivered }) => {
      try {
        await removeContainer(context, await resolveContainer(context.database.query, ref), { force, volumes, key: messageId });
      } catch (e) {
        // Done by the scheduler that was told first.
        if (!redelivered || !isGantryError(e, "NO_SUCH_CONTAINER")) throw e;
      }
      return {};
    }),

    on(containerPrune, async ({ filters }) => {
      checkFilters(filters, new Set(["label", "label!", "until"]));
      const until = untilMillis(filters["until"] ?? [], context.clock.now());
      const stopped = (await listContainers(context.database.query, ["created", "exited", "dead"])).filter((c) =>
        (until === null || Date.parse(c.created) < until) && matchesLabels(c.spec.config.Labels, filters["label"] ?? [])
        && (filters["label!"] ?? []).every((l) => !matchesLabels(c.spec.config.Labels, [l])));
      const ids: string[] = [];
      let spaceReclaimed = 0;
      for (const record of stopped) {
        const size = await callNode(context, record.nodeId, nodeContainerSize, { id: record.id }).catch(() => ({ sizeRw: 0 }));
        try {
          await removeContainer(context, record, { force: false, volumes: false });
        } catch (e) {
          // Started or removed meanwhile: not ours to prune any more.
          if (!isGantryError(e)) throw e;
          context.logger.warn({ err: e, container: record.id }, "not pruned");
          continue;
        }
        ids.push(record.id);
        spaceReclaimed += size.sizeRw;
      }
      if (ids.length > 0) {
        await context.leader.transaction((_tx, outbox) => emit(outbox, context.clock, "container", "prune", "", { reclaimed: String(spaceReclaimed) }));
      }
      return { ids, spaceReclaimed };
    }),
  ];
}

import { on, type Route } from "@gantry/bus";
import {
  containerKill, containerPause, containerRename, containerRestart, containerStart, containerStop, containerUpdate, fail, nodeContainerKill, nodeContainerPause,
  nodeContainerRename, nodeContainerStart, nodeContainerStop, nodeContainerUpdate, parseSignal, type ContainerState,
} from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { applyState } from "../apply-state.ts";
import { callNode, checkReachable, type Context } from "../context.ts";
import { emitContainer } from "../docker-events.ts";
import { checkName, nameInUse } from "../domain/names.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { isRunning } from "../domain/state.ts";
import { updatedHostConfig } from "../domain/update.ts";
import { getContainer, nameOwner, resolveContainer, saveName, saveSpec } from "../store/containers.ts";
import { afterFailedStart, afterState } from "./auto-remove.ts";
import { removeContainer } from "./remove.ts";

const START_TIMEOUT_MS = 120_000;
const STOP_MARGIN_MS = 60_000;
/** Errors after which the container may run all the same. */
const UNDECIDED: ReadonlySet<string> = new Set(["TIMEOUT", "UNAVAILABLE", "NODE_UNREACHABLE", "STALE_EPOCH", "CONFLICT", "INTERNAL"]);

/** The newer state goes into the record; what a reply brings is taken exactly as what a report brings. */
async function take(context: Context, record: ContainerRecord, state: ContainerState, seq: number, action: string | null): Promise<void> {
  const after = await context.leader.transaction(async (tx, outbox) => {
    const applied = await applyState(tx, outbox, context.clock, record.id, state, seq);
    if (action !== null) await emitContainer(outbox, context.clock, record, action);
    return applied;
  });
  if (after !== null) afterState(context, after);
}

async function start(context: Context, record: ContainerRecord, key: string): Promise<boolean> {
  if (record.state.status === "removing" || record.state.status === "dead") {
    throw fail("CONFLICT", "container is marked for removal and cannot be started");
  }
  const reply = await callNode(context, record.nodeId, nodeContainerStart, { id: record.id, epoch: context.leader.epoch }, { timeoutMs: START_TIMEOUT_MS, key: `${key}/start` }).catch((e: unknown) => {
    if (record.spec.hostConfig.AutoRemove && isGantryError(e)) afterFailedStart(context, record);
    throw e;
  });
  if (!reply.alreadyStarted) await take(context, record, reply.state, reply.seq, null);
  return reply.alreadyStarted;
}

/** What was run with --rm and cannot start is taken away, as Docker does: whoever waits for its removal is told. */
async function discard(context: Context, record: ContainerRecord): Promise<void> {
  try {
    await removeContainer(context, record, { force: true, volumes: true });
  } catch (e) {
    if (!isGantryError(e, "NO_SUCH_CONTAINER")) context.logger.warn({ err: e, container: record.id }, "could not remove a container run with --rm that did not start");
  }
}

async function stop(context: Context, record: ContainerRecord, key: string, timeout: number | null, signal: string | null): Promise<boolean> {
  if (signal !== null) parseSignal(signal);
  const seconds = timeout ?? record.spec.config.StopTimeout ?? 10;
  const reply = await callNode(context, record.nodeId, nodeContainerStop, { id: record.id, epoch: context.leader.epoch, timeout, signal },
    { timeoutMs: seconds < 0 ? 0 : seconds * 1000 + STOP_MARGIN_MS, key: `${key}/stop` });
  if (!reply.alreadyStopped) await take(context, record, reply.state, reply.seq, "stop");
  return reply.alreadyStopped;
}

export function lifecycleRoutes(context: Context): Route[] {
  const find = (ref: string) => resolveContainer(context.database.query, ref);
  return [
    on(containerStart, async ({ ref }, { messageId, redelivered }) => {
      if (redelivered && context.ranAndGone.has(ref)) return { alreadyStarted: false };
      const record = await find(ref);
      try {
        return { alreadyStarted: await start(context, record, messageId) };
      } catch (e) {
        if (record.spec.hostConfig.AutoRemove && isGantryError(e) && !UNDECIDED.has(e.code)) await discard(context, record);
        throw e;
      }
    }),

    on(containerStop, async ({ ref, timeout, signal }, { messageId }) => ({ alreadyStopped: await stop(context, await find(ref), messageId, timeout, signal) })),

    on(containerRestart, async ({ ref, timeout, signal }, { messageId }) => {
      const record = await find(ref);
      context.restarting.add(record.id);
      try {
        await stop(context, record, messageId, timeout, signal);
        await start(context, record, messageId);
      } finally {
        context.restarting.delete(record.id);
      }
      await context.leader.transaction((_tx, outbox) => emitContainer(outbox, context.clock, record, "restart"));
      return {};
    }),

    on(containerKill, async ({ ref, signal }, { messageId }) => {
      const record = await find(ref);
      parseSignal(signal === "" ? "KILL" : signal);
      await callNode(context, record.nodeId, nodeContainerKill, { id: record.id, epoch: context.leader.epoch, signal: signal === "" ? "KILL" : signal }, { key: `${messageId}/kill` });
      return {};
    }),

    on(containerPause, async ({ ref, paused }, { messageId, redelivered }) => {
      const record = await find(ref);
      if (redelivered && paused === (record.state.status === "paused")) return {};
      if (!isRunning(record.state)) throw fail("NOT_RUNNING", `Container ${record.id} is not running`);
      if (paused === (record.state.status === "paused")) throw fail("CONFLICT", `Container ${ref} is ${paused ? "already" : "not"} paused`);
      const reply = await callNode(context, record.nodeId, nodeContainerPause, { id: record.id, epoch: context.leader.epoch, paused }, { key: `${messageId}/pause` });
      await take(context, record, reply.state, reply.seq, null);
      return {};
    }),

    on(containerUpdate, async ({ ref, body }, { messageId }) => {
      const record = await find(ref);
      if (record.state.status === "removing" || record.state.status === "dead") throw fail("CONFLICT", 'container is marked for removal and cannot be "update"');
      const hostConfig = updatedHostConfig(record.spec.hostConfig, body);
      // The node first: what it cannot do does not become what the container should be.
      await callNode(context, record.nodeId, nodeContainerUpdate, { id: record.id, epoch: context.leader.epoch, hostConfig: { ...hostConfig } }, { key: `${messageId}/update` });
      await context.leader.transaction(async (tx, outbox) => {
        const now = await resolveContainer(tx, record.id);
        await saveSpec(tx, now.id, { ...now.spec, hostConfig });
        await emitContainer(outbox, context.clock, now, "update");
      });
      return { warnings: [] };
    }),

    on(containerRename, async ({ ref, name: given }, { redelivered }) => {
      const record = await find(ref);
      if (given === "") throw fail("INVALID", "Neither old nor new names may be empty");
      const name = checkName(given);
      if (redelivered && name === record.name) return {};
      if (name === record.name) throw fail("INVALID", "Renaming a container with the same name as its current name");
      checkReachable(context, record.nodeId);
      const renamed = await context.leader.transaction(async (tx, outbox) => {
        const owner = await nameOwner(tx, name);
        if (owner !== null) throw nameInUse(name, owner);
        await saveName(tx, record.id, name);
        const after = (await getContainer(tx, record.id))!;
        await emitContainer(outbox, context.clock, after, "rename", { oldName: `/${record.name}` });
        return after;
      });
      await callNode(context, renamed.nodeId, nodeContainerRename, { id: renamed.id, epoch: context.leader.epoch, name });
      return {};
    }),
  ];
}

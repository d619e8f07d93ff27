import { isGantryError } from "@gantry/kernel";
import type { Context } from "../context.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { isRunning } from "../domain/state.ts";
import { Superseded } from "../leadership.ts";
import { getContainer } from "../store/containers.ts";
import { removeContainer } from "./remove.ts";

/** Whether `--rm` takes a container away now. */
export function isDueForRemoval(context: Context, record: ContainerRecord): boolean {
  return record.spec.hostConfig.AutoRemove && record.state.status === "exited" && !context.restarting.has(record.id);
}

/** What follows a state that was just recorded: `--rm`, in the background. What fails here is tried again at the next resync. */
export function afterState(context: Context, record: ContainerRecord): void {
  if (isDueForRemoval(context, record)) inBackground(context, record.id, (now) => isDueForRemoval(context, now));
}

/** A container of `--rm` that could not be started is of no more use, as Docker has it. */
export function afterFailedStart(context: Context, record: ContainerRecord): void {
  inBackground(context, record.id, (now) => !isRunning(now.state));
}

function inBackground(context: Context, id: string, still: (now: ContainerRecord) => boolean): void {
  void (async () => {
    try {
      const now = await getContainer(context.database.query, id);
      if (now === null || !still(now)) return;
      await removeContainer(context, now, { force: false, volumes: true });
      remember(context.ranAndGone, id);
    } catch (e) {
      if (!isGantryError(e, "NO_SUCH_CONTAINER") && !(e instanceof Superseded)) context.logger.warn({ err: e, container: id }, "could not remove a container that was run with --rm");
    }
  })();
}

const REMEMBERED = 1_000;

function remember(ids: Set<string>, id: string): void {
  ids.add(id);
  if (ids.size > REMEMBERED) for (const oldest of ids) { ids.delete(oldest); break; }
}

import { isGantryError } from "@gantry/kernel";
import type { Context } from "../context.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { getContainer } from "../store/containers.ts";
import { removeContainer } from "./remove.ts";

/** Whether `--rm` takes a container away now. */
export function isDueForRemoval(context: Context, record: ContainerRecord): boolean {
  return record.spec.hostConfig.AutoRemove && record.state.status === "exited" && !context.restarting.has(record.id);
}

/** What follows a state that was just recorded: `--rm`, in the background. What fails here is tried again at the next resync. */
export function afterState(context: Context, record: ContainerRecord): void {
  if (!isDueForRemoval(context, record)) return;
  void (async () => {
    try {
      const now = await getContainer(context.database.query, record.id);
      if (now !== null && isDueForRemoval(context, now)) await removeContainer(context, now, { force: false, volumes: true });
    } catch (e) {
      if (!isGantryError(e, "NO_SUCH_CONTAINER")) context.logger.warn({ err: e, container: record.id }, "could not remove a container that was run with --rm");
    }
  })();
}

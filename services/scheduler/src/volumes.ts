import type { OutboxWriter } from "@gantry/database";
import type { Kysely } from "kysely";
import type { Context } from "./context.ts";
import { emit } from "./docker-events.ts";
import type { SchedulerTables } from "./store/schema.ts";
import { deleteVolume, getVolume } from "./store/volumes.ts";

/** What a node removed with a container: anonymous volumes have no record any more. */
export async function forgetVolumes(context: Context, tx: Kysely<SchedulerTables>, outbox: OutboxWriter, removed: readonly string[]): Promise<void> {
  for (const volume of removed) {
    const known = await getVolume(tx, volume);
    if (known?.anonymous && await deleteVolume(tx, volume)) await emit(outbox, context.clock, "volume", "destroy", volume, { driver: "local" });
  }
}

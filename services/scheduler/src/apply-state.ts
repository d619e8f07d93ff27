import type { ContainerState } from "@gantry/contracts";
import type { OutboxWriter } from "@gantry/database";
import type { Clock } from "@gantry/kernel";
import type { Kysely } from "kysely";
import { emit, emitContainer, emitNetwork } from "./docker-events.ts";
import { mountRows } from "./domain/inspect.ts";
import type { ContainerRecord } from "./domain/record.ts";
import { eventsBetween, isNewer } from "./domain/state.ts";
import { getContainer, saveState } from "./store/containers.ts";
import type { SchedulerTables } from "./store/schema.ts";

/**
 * Takes a state that a node reported, if it is newer than what is known, and publishes what happened since. Null: nothing to take.
 * One row written, and one outbox row for each event.
 */
export async function applyState(
  tx: Kysely<SchedulerTables>, outbox: OutboxWriter, clock: Clock, id: string, state: ContainerState, seq: number,
): Promise<ContainerRecord | null> {
  const before = await getContainer(tx, id);
  if (before === null || !isNewer(before.seq, seq)) return null;
  const after: ContainerRecord = { ...before, state, seq };
  await saveState(tx, id, state, seq);
  for (const { action, attributes } of eventsBetween(before.state, state)) {
    if (action === "start") await emitAttachments(outbox, clock, after, "connect", "mount");
    await emitContainer(outbox, clock, after, action, attributes);
    if (action === "die") await emitAttachments(outbox, clock, after, "disconnect", "unmount");
  }
  return after;
}

async function emitAttachments(outbox: OutboxWriter, clock: Clock, record: ContainerRecord, network: "connect" | "disconnect", volume: "mount" | "unmount"): Promise<void> {
  for (const { id, name } of record.spec.networks) {
    const driver = name === "none" ? "null" : name === "host" ? "host" : "bridge";
    await emitNetwork(outbox, clock, { Id: id, Name: name, Driver: driver }, network, { container: record.id });
  }
  for (const mount of mountRows(record)) {
    if (mount["Type"] !== "volume") continue;
    await emit(outbox, clock, "volume", volume, String(mount["Name"]), {
      container: record.id, driver: "local",
      ...(volume === "mount" ? { destination: String(mount["Destination"]), propagation: "", "read/write": String(mount["RW"]) } : {}),
    });
  }
}

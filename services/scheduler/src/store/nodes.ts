import { fail, type NodeDescription } from "@gantry/contracts";
import type { Kysely, Selectable } from "kysely";
import type { Availability, NodeRecord, NodeState } from "../domain/node.ts";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

function toRecord(row: Selectable<SchedulerTables["nodes"]>): NodeRecord {
  return {
    description: JSON.parse(row.description) as NodeDescription, registeredAt: row.registered_at, state: row.state as NodeState,
    since: row.since === "" ? row.registered_at : row.since, availability: row.availability as Availability, availableSince: row.available_since,
  };
}

/** A node that registers is ready; since when, if it was not before, is now. Whether it is drained stays. */
export async function saveNode(db: Db, description: NodeDescription, now: string): Promise<void> {
  const before = await getNode(db, description.nodeId);
  const since = before?.state === "ready" ? before.since : now;
  const values = { description: JSON.stringify(description), registered_at: now, state: "ready", since };
  await db.insertInto("nodes").values({ node_id: description.nodeId, availability: "active", available_since: "", ...values }).onConflict((c) => c.column("node_id").doUpdateSet(values)).execute();
}

export async function listNodes(db: Db): Promise<NodeRecord[]> {
  return (await db.selectFrom("nodes").selectAll().orderBy("node_id").execute()).map(toRecord);
}

export async function getNode(db: Db, nodeId: string): Promise<NodeRecord | null> {
  const row = await db.selectFrom("nodes").selectAll().where("node_id", "=", nodeId).executeTakeFirst();
  return row ? toRecord(row) : null;
}

/** By ID, host name, or unique prefix of an ID. NO_SUCH_NODE; INVALID where it stands for several. */
export async function resolveNode(db: Db, ref: string): Promise<NodeRecord> {
  const nodes = await listNodes(db);
  const exact = nodes.find(({ description }) => description.nodeId === ref);
  if (exact) return exact;
  const named = nodes.filter(({ description }) => description.hostname === ref);
  const found = named.length > 0 ? named : nodes.filter(({ description }) => description.nodeId.startsWith(ref));
  if (found.length === 1) return found[0]!;
  if (found.length > 1) throw fail("INVALID", `node ${ref} is ambiguous (${found.length} matches found)`);
  throw fail("NO_SUCH_NODE", `node ${ref} not found`);
}

export async function saveNodeState(db: Db, nodeId: string, state: NodeState, since: string): Promise<void> {
  await db.updateTable("nodes").set({ state, since }).where("node_id", "=", nodeId).execute();
}

export async function saveAvailability(db: Db, nodeId: string, availability: Availability, since: string): Promise<void> {
  await db.updateTable("nodes").set({ availability, available_since: since }).where("node_id", "=", nodeId).execute();
}

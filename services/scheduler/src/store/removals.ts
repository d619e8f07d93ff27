import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

/** The node is to remove the container, whenever it can be reached. */
export async function addRemoval(db: Db, id: string, nodeId: string, askedAt: string): Promise<void> {
  await db.insertInto("removals").values({ id, node_id: nodeId, asked_at: askedAt }).onConflict((c) => c.column("id").doNothing()).execute();
}

export async function removalsOn(db: Db, nodeId: string): Promise<string[]> {
  return (await db.selectFrom("removals").select("id").where("node_id", "=", nodeId).execute()).map((row) => row.id);
}

export async function endRemoval(db: Db, id: string): Promise<void> {
  await db.deleteFrom("removals").where("id", "=", id).execute();
}

import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

export interface Removal { readonly id: string; readonly volumes: boolean }

/** The node is to remove the container, whenever it can be reached; with `volumes` its anonymous ones too. */
export async function addRemoval(db: Db, { id, volumes }: Removal, nodeId: string, askedAt: string): Promise<void> {
  await db.insertInto("removals").values({ id, node_id: nodeId, asked_at: askedAt, volumes: volumes ? 1 : 0 }).onConflict((c) => c.column("id").doNothing()).execute();
}

export async function removalsOn(db: Db, nodeId: string): Promise<Removal[]> {
  return (await db.selectFrom("removals").select(["id", "volumes"]).where("node_id", "=", nodeId).execute()).map(({ id, volumes }) => ({ id, volumes: volumes !== 0 }));
}

export async function endRemoval(db: Db, id: string): Promise<void> {
  await db.deleteFrom("removals").where("id", "=", id).execute();
}

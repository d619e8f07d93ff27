import type { NodeDescription } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

export async function saveNode(db: Db, description: NodeDescription, registeredAt: string): Promise<void> {
  const values = { description: JSON.stringify(description), registered_at: registeredAt };
  await db.insertInto("nodes").values({ node_id: description.nodeId, ...values }).onConflict((c) => c.column("node_id").doUpdateSet(values)).execute();
}

export async function listNodes(db: Db): Promise<NodeDescription[]> {
  return (await db.selectFrom("nodes").select("description").orderBy("node_id").execute()).map((row) => JSON.parse(row.description) as NodeDescription);
}

export async function getNode(db: Db, nodeId: string): Promise<NodeDescription | null> {
  const row = await db.selectFrom("nodes").select("description").where("node_id", "=", nodeId).executeTakeFirst();
  return row ? JSON.parse(row.description) as NodeDescription : null;
}

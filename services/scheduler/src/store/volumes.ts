import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

/** Docker's Volume resource. */
export interface VolumeResource {
  CreatedAt: string;
  Driver: string;
  Labels: Record<string, string> | null;
  Mountpoint: string;
  Name: string;
  Options: Record<string, string> | null;
  Scope: string;
}

export interface VolumeRecord { readonly name: string; readonly nodeId: string; readonly anonymous: boolean; readonly resource: VolumeResource }

export async function getVolume(db: Db, name: string): Promise<VolumeRecord | null> {
  const row = await db.selectFrom("volumes").selectAll().where("name", "=", name).executeTakeFirst();
  return row ? { name: row.name, nodeId: row.node_id, anonymous: row.anonymous !== 0, resource: JSON.parse(row.resource) as VolumeResource } : null;
}

export async function listVolumes(db: Db): Promise<VolumeRecord[]> {
  return (await db.selectFrom("volumes").selectAll().orderBy("name").execute())
    .map((row) => ({ name: row.name, nodeId: row.node_id, anonymous: row.anonymous !== 0, resource: JSON.parse(row.resource) as VolumeResource }));
}

/** False when there is one of that name. */
export async function insertVolume(db: Db, record: VolumeRecord): Promise<boolean> {
  const done = await db.insertInto("volumes").values({
    name: record.name, node_id: record.nodeId, anonymous: record.anonymous ? 1 : 0, resource: JSON.stringify(record.resource),
  }).onConflict((c) => c.column("name").doNothing()).executeTakeFirst();
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function saveVolume(db: Db, resource: VolumeResource): Promise<void> {
  await db.updateTable("volumes").set({ resource: JSON.stringify(resource) }).where("name", "=", resource.Name).execute();
}

export async function deleteVolume(db: Db, name: string): Promise<boolean> {
  return (await db.deleteFrom("volumes").where("name", "=", name).executeTakeFirst()).numDeletedRows > 0n;
}

import type { ContainerState } from "@gantry/contracts";
import type { Kysely, Selectable } from "kysely";
import type { ContainerRecord, ContainerSpec } from "../domain/record.ts";
import { chooseContainer, isIdPrefix } from "../domain/reference.ts";
import { compareTimes } from "../domain/time.ts";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

function toRecord(row: Selectable<SchedulerTables["containers"]>): ContainerRecord {
  return {
    id: row.id, name: row.name, created: row.created, nodeId: row.node_id, imageId: row.image_id, seq: Number(row.seq),
    spec: JSON.parse(row.spec) as ContainerSpec, state: JSON.parse(row.state) as ContainerState,
  };
}

export async function insertContainer(db: Db, record: ContainerRecord): Promise<void> {
  await db.insertInto("containers").values({
    id: record.id, name: record.name, created: record.created, node_id: record.nodeId, image_id: record.imageId, status: record.state.status,
    seq: record.seq, spec: JSON.stringify(record.spec), state: JSON.stringify(record.state),
  }).execute();
}

export async function getContainer(db: Db, id: string): Promise<ContainerRecord | null> {
  const row = await db.selectFrom("containers").selectAll().where("id", "=", id).executeTakeFirst();
  return row ? toRecord(row) : null;
}

/** Those of `ids` that exist. */
export async function getContainers(db: Db, ids: readonly string[]): Promise<ContainerRecord[]> {
  if (ids.length === 0) return [];
  return (await db.selectFrom("containers").selectAll().where("id", "in", [...ids]).execute()).map(toRecord);
}

export async function nameOwner(db: Db, name: string): Promise<string | null> {
  return (await db.selectFrom("containers").select("id").where("name", "=", name).executeTakeFirst())?.id ?? null;
}

/** By full ID, name (with or without slash) or unique prefix of an ID. NO_SUCH_CONTAINER, or INVALID where a prefix is not unique. */
export async function resolveContainer(db: Db, ref: string): Promise<ContainerRecord> {
  const name = ref.replace(/^\//, "");
  // `g` is behind `f`: every ID that begins with the reference lies between.
  const rows = isIdPrefix(ref)
    ? await db.selectFrom("containers").selectAll().where((eb) => eb.or([eb("name", "=", name), eb.and([eb("id", ">=", ref), eb("id", "<", `${ref}g`)])])).limit(3).execute()
    : await db.selectFrom("containers").selectAll().where("name", "=", name).execute();
  const id = chooseContainer(ref, {
    byId: rows.find((row) => row.id === ref)?.id ?? null,
    byName: rows.find((row) => row.name === name)?.id ?? null,
    byPrefix: rows.filter((row) => row.id.startsWith(ref)).map((row) => row.id),
  });
  return toRecord(rows.find((row) => row.id === id)!);
}

/** Newest first. `statuses` null: all. */
export async function listContainers(db: Db, statuses: readonly string[] | null): Promise<ContainerRecord[]> {
  let query = db.selectFrom("containers").selectAll();
  if (statuses !== null) query = query.where("status", "in", [...statuses]);
  return (await query.execute()).map(toRecord).sort((a, b) => compareTimes(b.created, a.created));
}

export async function containersOnNode(db: Db, nodeId: string): Promise<ContainerRecord[]> {
  return (await db.selectFrom("containers").selectAll().where("node_id", "=", nodeId).execute()).map(toRecord);
}

export async function containersOfImages(db: Db, imageIds: readonly string[]): Promise<ContainerRecord[]> {
  if (imageIds.length === 0) return [];
  return (await db.selectFrom("containers").selectAll().where("image_id", "in", [...imageIds]).execute()).map(toRecord);
}

export async function countByStatus(db: Db): Promise<Map<string, number>> {
  const rows = await db.selectFrom("containers").select((eb) => ["status", eb.fn.countAll<number>().as("n")]).groupBy("status").execute();
  return new Map(rows.map((row) => [row.status, Number(row.n)]));
}

export async function saveState(db: Db, id: string, state: ContainerState, seq: number): Promise<void> {
  await db.updateTable("containers").set({ state: JSON.stringify(state), status: state.status, seq }).where("id", "=", id).execute();
}

export async function saveSpec(db: Db, id: string, spec: ContainerSpec): Promise<void> {
  await db.updateTable("containers").set({ spec: JSON.stringify(spec) }).where("id", "=", id).execute();
}

export async function saveName(db: Db, id: string, name: string): Promise<void> {
  await db.updateTable("containers").set({ name }).where("id", "=", id).execute();
}

export async function deleteContainer(db: Db, id: string): Promise<boolean> {
  return (await db.deleteFrom("containers").where("id", "=", id).executeTakeFirst()).numDeletedRows > 0n;
}

import { fail, type NetworkResource } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

export async function insertNetwork(db: Db, network: NetworkResource): Promise<void> {
  await db.insertInto("networks").values({ id: network.Id, name: network.Name, driver: network.Driver, resource: JSON.stringify(network) }).execute();
}

export async function listNetworks(db: Db): Promise<NetworkResource[]> {
  return (await db.selectFrom("networks").select("resource").execute()).map((row) => JSON.parse(row.resource) as NetworkResource);
}

/** Full ID, then name, then unique prefix of an ID. NO_SUCH_NETWORK in Docker's words. */
export async function resolveNetwork(db: Db, ref: string): Promise<NetworkResource> {
  const rows = await db.selectFrom("networks").select(["id", "name", "resource"])
    .where((eb) => eb.or([eb("id", "=", ref), eb("name", "=", ref), eb.and([eb("id", ">=", ref), eb("id", "<", `${ref}g`)])])).limit(4).execute();
  const prefixed = rows.filter((row) => row.id.startsWith(ref));
  const row = rows.find((r) => r.id === ref) ?? rows.find((r) => r.name === ref) ?? (prefixed.length === 1 ? prefixed[0] : undefined);
  if (row) return JSON.parse(row.resource) as NetworkResource;
  if (prefixed.length > 1) throw fail("INVALID", `network ${ref} is ambiguous (${prefixed.length} matches found on ID prefix)`);
  throw fail("NO_SUCH_NETWORK", `network ${ref} not found`);
}

export async function deleteNetwork(db: Db, id: string): Promise<void> {
  await db.deleteFrom("networks").where("id", "=", id).execute();
}

export async function saveNetwork(db: Db, network: NetworkResource): Promise<void> {
  await db.updateTable("networks").set({ resource: JSON.stringify(network) }).where("id", "=", network.Id).execute();
}

import type { Role, TokenInfo } from "@gantry/contracts";
import type { Kysely } from "kysely";
import type { SchedulerTables } from "./schema.ts";

type Db = Kysely<SchedulerTables>;

export interface TokenRecord extends TokenInfo {
  readonly hash: string;
  /** Of a session: the token it belongs to. */
  readonly parent: string | null;
}

type Row = SchedulerTables["tokens"];

const fromRow = ({ last_used: lastUsed, role, ...row }: Row): TokenRecord => ({ ...row, role: role as Role, lastUsed });

/** What may be told of a token. */
export function publicPart({ id, name, role, created, expires, lastUsed }: TokenRecord): TokenInfo {
  return { id, name, role, created, expires, lastUsed };
}

export async function getToken(db: Db, id: string): Promise<TokenRecord | null> {
  const row = await db.selectFrom("tokens").selectAll().where("id", "=", id).executeTakeFirst();
  return row === undefined ? null : fromRow(row);
}

/** Tokens (`parent` null) or the sessions of one, oldest first. */
export async function listTokens(db: Db, parent: string | null): Promise<TokenRecord[]> {
  const rows = db.selectFrom("tokens").selectAll().orderBy("created").orderBy("id");
  return (await (parent === null ? rows.where("parent", "is", null) : rows.where("parent", "=", parent)).execute()).map(fromRow);
}

export async function insertToken(db: Db, { lastUsed, ...record }: TokenRecord): Promise<void> {
  await db.insertInto("tokens").values({ ...record, last_used: lastUsed }).execute();
}

export async function markUsed(db: Db, id: string, at: string): Promise<void> {
  await db.updateTable("tokens").set({ last_used: at }).where("id", "=", id).execute();
}

/** Removes a token and its sessions; answers the IDs of what was there. */
export async function deleteToken(db: Db, id: string): Promise<string[]> {
  const rows = await db.selectFrom("tokens").select("id").where((where) => where.or([where("id", "=", id), where("parent", "=", id)])).execute();
  const ids = rows.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom("tokens").where("id", "in", ids).execute();
  return ids;
}

/** Removes sessions that have ended by themselves. */
export async function deleteEndedSessions(db: Db, now: string): Promise<void> {
  await db.deleteFrom("tokens").where("parent", "is not", null).where("expires", "<=", now).execute();
}

import { on, type Route } from "@gantry/bus";
import { fail, sessionCreate, tokenCheck, tokenCreate, tokenList, tokenRemove, tokenRemoved, tokenUsed } from "@gantry/contracts";
import type { Context } from "../context.ts";
import { expiryOf, MAX_SESSIONS, MAX_TOKENS, usedAt } from "../domain/token.ts";
import { deleteEndedSessions, deleteToken, getToken, insertToken, listTokens, markUsed, publicPart, type TokenRecord } from "../store/tokens.ts";

const sameSecret = (known: TokenRecord, hash: string): TokenRecord => {
  if (known.hash !== hash) throw fail("CONFLICT", `there is a token ${known.id} already`);
  return known;
};

/** Bearer tokens and browser sessions. Only hashes of their secrets come here. */
export function tokenRoutes(context: Context): Route[] {
  const { clock, leader, database } = context;
  const now = (): string => new Date(clock.now()).toISOString();
  return [
    on(tokenCreate, ({ id, hash, name, role, expires }) => leader.transaction(async (tx) => {
      const known = await getToken(tx, id);
      if (known !== null) return publicPart(sameSecret(known, hash));
      if ((await listTokens(tx, null)).length >= MAX_TOKENS) throw fail("CONFLICT", `there are ${MAX_TOKENS} tokens: remove some first (gantry token ls, gantry token rm)`);
      const record: TokenRecord = { id, hash, name, role, parent: null, created: now(), expires: expires === null ? null : expiryOf(expires, clock.now()), lastUsed: null };
      await insertToken(tx, record);
      return publicPart(record);
    })),

    on(tokenList, async () => ({ tokens: (await listTokens(database.query, null)).map(publicPart) })),

    on(tokenRemove, ({ id }) => leader.transaction(async (tx, outbox) => {
      const ids = await deleteToken(tx, id);
      if (ids.length === 0) throw fail("NOT_FOUND", `No such token: ${id}`);
      await outbox.publish(tokenRemoved, { ids });
      return {};
    })),

    on(tokenCheck, async ({ id }) => {
      const record = await getToken(database.query, id);
      if (record === null) return { token: null };
      const { hash, name, role, expires, parent } = record;
      return { token: { hash, name, role, expires, session: parent !== null } };
    }),

    on(tokenUsed, ({ id, at }) => leader.transaction(async (tx) => {
      const record = await getToken(tx, id);
      const time = record === null ? null : usedAt(record.lastUsed, at, clock.now());
      if (time !== null) await markUsed(tx, id, time);
      return {};
    })),

    on(sessionCreate, ({ id, hash, token, expires }) => leader.transaction(async (tx, outbox) => {
      const known = await getToken(tx, id);
      if (known !== null) return { expires: sameSecret(known, hash).expires ?? expires };
      const parent = await getToken(tx, token);
      if (parent === null || parent.parent !== null) throw fail("NOT_FOUND", `No such token: ${token}`);
      await deleteEndedSessions(tx, now());
      const older = (await listTokens(tx, token)).map((session) => session.id);
      const ids = older.slice(0, Math.max(0, older.length + 1 - MAX_SESSIONS));
      for (const session of ids) await deleteToken(tx, session);
      if (ids.length > 0) await outbox.publish(tokenRemoved, { ids });
      const end = expiryOf(expires, clock.now());
      const ends = parent.expires !== null && parent.expires < end ? parent.expires : end;
      await insertToken(tx, { id, hash, name: parent.name, role: parent.role, parent: token, created: now(), expires: ends, lastUsed: null });
      return { expires: ends };
    })),
  ];
}

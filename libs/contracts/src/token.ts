import { Type as T, type Static } from "typebox";
import { Empty, Nullable } from "./common.ts";
import { command, event, query } from "./message.ts";

/** What a login may do, from least to most; each may also do what those before it may. */
export const ROLES = ["viewer", "builder", "admin"] as const;
export type Role = (typeof ROLES)[number];
export const Role = T.Union([T.Literal("viewer"), T.Literal("builder"), T.Literal("admin")]);

export const TokenId = T.String({ pattern: "^[0-9a-f]{16}$", description: "16 hex digits" });
/** SHA-256 of the secret part of a token, in hex. */
const SecretHash = T.String({ pattern: "^[0-9a-f]{64}$" });
const Time = T.String({ description: "RFC 3339" });

export const TokenInfo = T.Object({
  id: TokenId,
  name: T.String({ maxLength: 128 }),
  role: Role,
  created: Time,
  expires: Nullable(Time),
  lastUsed: Nullable(T.String({ description: "RFC 3339, to ten minutes" })),
}, { description: "a bearer token, without its secret" });
export type TokenInfo = Static<typeof TokenInfo>;

/**
 * Records a token whose text the caller made (token-text.ts) and alone knows. Creating one that exists with the same hash answers as
 * before; CONFLICT with another hash, or when there are too many.
 */
export const tokenCreate = command("scheduler.token.create.v1",
  T.Object({ id: TokenId, hash: SecretHash, name: T.String({ maxLength: 128 }), role: Role, expires: Nullable(Time) }), TokenInfo);
/** Tokens, expired ones too; without sessions. In the order in which they were made. */
export const tokenList = query("scheduler.token.list.v1", Empty, T.Object({ tokens: T.Array(TokenInfo) }));
/** Removes a token and its sessions, or one session. NOT_FOUND where there is none. */
export const tokenRemove = command("scheduler.token.remove.v1", T.Object({ id: TokenId }), Empty);
/** A token or session by its ID; null where there is none. Who asks compares the hash and looks at the expiry. */
export const tokenCheck = query("scheduler.token.check.v1", T.Object({ id: TokenId }), T.Object({
  token: Nullable(T.Object({ hash: SecretHash, name: T.String(), role: Role, expires: Nullable(Time), session: T.Boolean() })),
}));
/** A token was used. Its owner keeps the time to ten minutes; who tells need not tell more often. */
export const tokenUsed = command("scheduler.token.used.v1", T.Object({ id: TokenId, at: Time }), Empty);
/**
 * Records a browser session of a token: a token of its own, which ends with the other or sooner. A token keeps its newest 32 sessions.
 * NOT_FOUND where the token is gone.
 */
export const sessionCreate = command("scheduler.session.create.v1", T.Object({ id: TokenId, hash: SecretHash, token: TokenId, expires: Time }), T.Object({ expires: Time }));
/** These tokens and sessions are no longer valid. */
export const tokenRemoved = event("scheduler.token.removed.v1", T.Object({ ids: T.Array(TokenId) }));

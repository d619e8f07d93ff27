import { createHash, randomBytes } from "node:crypto";

const TEXT = /^gantry_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

export interface NewToken {
  readonly id: string;
  /** `gantry_<id>_<secret>`: what its holder sends. Kept nowhere else. */
  readonly text: string;
  /** Of the secret: what is kept. */
  readonly hash: string;
}

/** A token with 256 random bits. */
export function newToken(): NewToken {
  const id = randomBytes(8).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  return { id, text: `gantry_${id}_${secret}`, hash: hashOf(secret) };
}

/** ID and hash of the secret of a token's text; null for what is no token. */
export function parseToken(text: string): { readonly id: string; readonly hash: string } | null {
  const [, id, secret] = TEXT.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, hash: hashOf(secret) };
}

/** One round is enough: the secret is random, not a password. */
function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

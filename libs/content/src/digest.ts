import { fail } from "@gantry/contracts";

const DIGEST = /^sha256:([0-9a-f]{64})$/;

/** The 64 hex digits of a digest. INVALID for anything else, so that no text from outside becomes a path. */
export function digestHex(digest: string): string {
  const match = DIGEST.exec(digest);
  if (match === null) throw fail("INVALID", `invalid digest: ${JSON.stringify(digest.slice(0, 200))}`);
  return match[1]!;
}

import type { IncomingMessage } from "node:http";
import { fail } from "@gantry/contracts";
import type { Identity } from "../domain/access.ts";

const identities = new WeakMap<IncomingMessage, Identity>();

export function setIdentity(request: IncomingMessage, identity: Identity): void {
  identities.set(request, identity);
}

/** Who sent a request that was let in. Throws UNAUTHORIZED for one that was not. */
export function identityOf(request: IncomingMessage): Identity {
  const identity = identities.get(request);
  if (identity === undefined) throw fail("UNAUTHORIZED", "not logged in");
  return identity;
}

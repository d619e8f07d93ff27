import { fail } from "@gantry/contracts";

/**
 * Docker's order for naming a container: full ID, name, unique prefix of an ID.
 * `byPrefix`: IDs that begin so, two are enough.
 */
export function chooseContainer(ref: string, found: { byId: string | null; byName: string | null; byPrefix: readonly string[] }): string {
  if (found.byId !== null) return found.byId;
  if (found.byName !== null) return found.byName;
  if (found.byPrefix.length > 1) throw fail("INVALID", `multiple IDs found with provided prefix: ${ref}`);
  if (found.byPrefix.length === 1) return found.byPrefix[0]!;
  throw fail("NO_SUCH_CONTAINER", `No such container: ${ref}`);
}

export const isIdPrefix = (ref: string) => /^[0-9a-f]{1,64}$/.test(ref);

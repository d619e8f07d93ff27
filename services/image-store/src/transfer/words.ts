import { fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { familiarName, familiarString, type Reference } from "@gantry/oci";
import { registryFault } from "@gantry/registry-client";

/** What Docker says when a registry does not give an image. */
export function pullError(e: unknown, ref: Reference): unknown {
  if (!isGantryError(e)) return e;
  const fault = registryFault(e);
  if (e.code === "UNAUTHORIZED") {
    return fail("NO_SUCH_IMAGE", `pull access denied for ${familiarName(ref)}, repository does not exist or may require 'docker login': ${e.message}`, { cause: e });
  }
  if (fault?.reason === "manifest unknown" || (fault?.status === 404 && fault.reason === "")) {
    return fail("NO_SUCH_IMAGE", `manifest for ${familiarString(ref)} not found: ${e.message}`, { cause: e });
  }
  if (fault?.reason === "name unknown") return fail("NO_SUCH_IMAGE", `repository ${familiarName(ref)} not found: ${e.message}`, { cause: e });
  return e;
}

/** What Docker says when a registry does not take one. */
export function pushError(e: unknown): unknown {
  if (!isGantryError(e, "UNAUTHORIZED")) return e;
  const fault = registryFault(e);
  return fault?.reason === "denied" ? fail("FORBIDDEN", e.message, { cause: e }) : e;
}

import { fail } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import { familiarString, fullName, parseAnyReference, withDefaultTag, type AnyReference } from "@gantry/oci";
import type { Catalog, CatalogImage } from "./catalog.ts";

/**
 * Finds an image by what a user typed, in Docker's order: a full ID; a name (with a digest, the tag is not looked at);
 * a unique prefix of an ID. Throws INVALID, and NO_SUCH_IMAGE (`No such image: foo:latest`).
 */
export function findImage(catalog: Catalog, text: string): CatalogImage {
  const any = parseAnyReference(text);
  const found = any.kind === "id" ? catalog.image(any.id) : byName(catalog, any) ?? catalog.byPrefix(text);
  if (found === null) throw noSuchImage(any);
  return found;
}

function byName(catalog: Catalog, any: Extract<AnyReference, { kind: "named" }>): CatalogImage | null {
  const ref = withDefaultTag(any.ref);
  const repo = fullName(ref);
  const id = ref.digest !== null ? catalog.digest(repo, ref.digest)?.imageId : catalog.tag(repo, ref.tag!)?.imageId;
  return id === undefined || id === null ? null : catalog.image(id);
}

export function noSuchImage(any: AnyReference): GantryError {
  return fail("NO_SUCH_IMAGE", `No such image: ${any.kind === "id" ? any.id : familiarString(withDefaultTag(any.ref))}`);
}

/** True where `text` is an ID of this image or the beginning of it (Docker's isImageIDPrefix). */
export function isIdPrefix(id: string, text: string): boolean {
  return id.startsWith(text) || id.slice(id.indexOf(":") + 1).startsWith(text);
}

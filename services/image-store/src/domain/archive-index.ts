import { fail } from "@gantry/contracts";
import { faultOf } from "@gantry/contracts/validate";
import { familiarString, isDigest, parseReference, withDefaultTag } from "@gantry/oci";
import { Type as T, type Static } from "typebox";

/** manifest.json of `docker save`. */
const SaveManifest = T.Array(T.Object({
  Config: T.String({ minLength: 1, maxLength: 4096 }),
  RepoTags: T.Optional(T.Union([T.Array(T.String({ maxLength: 1024 }), { maxItems: 10_000 }), T.Null()])),
  Layers: T.Union([T.Array(T.String({ minLength: 1, maxLength: 4096 }), { maxItems: 10_000 }), T.Null()]),
  Parent: T.Optional(T.String()),
}), { maxItems: 10_000 });
export type SaveManifest = Static<typeof SaveManifest>;

/** Throws INVALID. */
export function parseSaveManifest(data: Uint8Array): SaveManifest {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString("utf8"));
  } catch (cause) {
    throw fail("INVALID", "invalid manifest.json: not JSON", { cause });
  }
  if (faultOf(SaveManifest, value) !== null) throw fail("INVALID", "invalid manifest.json");
  const entries = value as SaveManifest;
  for (const entry of entries) if (entry.Parent !== undefined && entry.Parent !== "" && !isDigest(entry.Parent)) throw fail("INVALID", "invalid manifest.json: Parent is no image ID");
  return entries;
}

export const IMAGE_NAME_ANNOTATION = "io.containerd.image.name";
export const REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name";

/**
 * The tag that an OCI layout's descriptor asks for: containerd's full name, else a ref name that says more than a bare tag; null: none.
 */
export function nameOfDescriptor(annotations: Readonly<Record<string, string>> | null | undefined): string | null {
  const full = annotations?.[IMAGE_NAME_ANNOTATION];
  const short = annotations?.[REF_NAME_ANNOTATION];
  for (const text of [full, short !== undefined && /[:/]/.test(short) ? short : undefined]) {
    if (text === undefined) continue;
    try {
      const ref = parseReference(text);
      if (ref.digest === null) return familiarString(withDefaultTag(ref));
    } catch {
      // Ref names are free text in the specification: what is no name is no tag.
    }
  }
  return null;
}

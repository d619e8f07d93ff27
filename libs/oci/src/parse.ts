import type { Static, TSchema } from "typebox";
import { fail } from "@gantry/contracts";
import { faultOf } from "@gantry/contracts/validate";
import { ImageConfig } from "./config.ts";
import { Index, Manifest } from "./manifest.ts";
import { isIndexMediaType, isManifestMediaType, MediaType } from "./media-types.ts";

/** Upper bound of a manifest or index, as registries have it. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Upper bound of an image config. */
export const MAX_CONFIG_BYTES = 4_000_000;

// A byte order mark is kept, and so refused: the text must be the very bytes that were hashed.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parser<S extends TSchema>(schema: S, what: string, maxBytes: number): (data: Uint8Array | string) => Static<S> {
  return (data) => {
    const value = parseJson(data, what, maxBytes);
    const fault = faultOf(schema, value);
    if (fault !== null) throw fail("INVALID", `invalid ${what}: ${fault}`);
    return value as Static<S>;
  };
}

function parseJson(data: Uint8Array | string, what: string, maxBytes: number): unknown {
  if (data.length > maxBytes) throw fail("TOO_LARGE", `${what} is larger than ${maxBytes} bytes`);
  try {
    return JSON.parse(typeof data === "string" ? data : utf8.decode(data));
  } catch (cause) {
    throw fail("INVALID", `invalid ${what}: not JSON`, { cause });
  }
}

/** Throws INVALID where the text is no image config, TOO_LARGE past {@link MAX_CONFIG_BYTES}. */
export const parseImageConfig = parser(ImageConfig, "image config", MAX_CONFIG_BYTES);
const parseImageManifest = parser(Manifest, "manifest", MAX_MANIFEST_BYTES);
const parseImageIndex = parser(Index, "index", MAX_MANIFEST_BYTES);

export type ParsedManifest =
  | { readonly kind: "manifest"; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: "index"; readonly mediaType: string; readonly index: Index };

/**
 * Parses a manifest or index. `contentType` (parameters are dropped) decides, then the text's own `mediaType`, then its
 * fields; where both speak they must agree. Throws INVALID or TOO_LARGE.
 */
export function parseManifest(data: Uint8Array | string, contentType?: string): ParsedManifest {
  const value = parseJson(data, "manifest", MAX_MANIFEST_BYTES) as { schemaVersion?: unknown; mediaType?: unknown; manifests?: unknown; layers?: unknown; config?: unknown } | null;
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw fail("INVALID", "invalid manifest: not an object");
  if (value.schemaVersion === 1) throw fail("INVALID", "image manifest schema version 1 is not supported: use schema 2 or OCI");
  const header = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  const named = isManifestMediaType(header) || isIndexMediaType(header) ? header : "";
  const own = typeof value.mediaType === "string" ? value.mediaType : "";
  if (named !== "" && own !== "" && named !== own) {
    throw fail("INVALID", `invalid manifest: its mediaType ${own} is not the Content-Type ${named}`);
  }
  const mediaType = named || own || (value.manifests !== undefined ? MediaType.ociIndex : MediaType.ociManifest);
  // Something that is both could be read as either: whoever checks one reads the other.
  if (value.manifests !== undefined && (value.layers !== undefined || value.config !== undefined)) {
    throw fail("INVALID", "invalid manifest: both an index and an image manifest");
  }
  if (isIndexMediaType(mediaType)) return { kind: "index", mediaType, index: parseImageIndex(data) };
  if (isManifestMediaType(mediaType)) return { kind: "manifest", mediaType, manifest: parseImageManifest(data) };
  throw fail("INVALID", `unsupported manifest media type ${mediaType}`);
}

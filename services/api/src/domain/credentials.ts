import { fail } from "@gantry/contracts";
import { isRecord } from "./query.ts";

const MAX_BYTES = 64 * 1024;

/** `X-Registry-Config` of a build: base64url JSON, registry → credentials. Throws INVALID. */
export function parseRegistryConfig(header: string | undefined): Record<string, unknown> {
  if (header === undefined || header === "") return {};
  if (header.length > MAX_BYTES) throw fail("INVALID", "X-Registry-Config header is too long");
  try {
    const parsed: unknown = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
    if (parsed === null) return {};
    if (isRecord(parsed)) return parsed;
  } catch (cause) {
    throw fail("INVALID", "invalid X-Registry-Config header", { cause });
  }
  throw fail("INVALID", "invalid X-Registry-Config header");
}

/** Checks `X-Registry-Auth`, which the image store decodes; null where there is none or an empty one. */
export function checkRegistryAuth(header: string | undefined): string | null {
  if (header === undefined || header === "") return null;
  if (header.length > MAX_BYTES) throw fail("INVALID", "X-Registry-Auth header is too long");
  return header;
}

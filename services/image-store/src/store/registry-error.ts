import { fail, statusOf } from "@gantry/contracts";
import { isGantryError, type GantryError } from "@gantry/kernel";

/** Codes of the distribution-spec. */
export type OciCode =
  | "BLOB_UNKNOWN" | "BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN" | "DIGEST_INVALID" | "MANIFEST_BLOB_UNKNOWN" | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN" | "NAME_INVALID" | "NAME_UNKNOWN" | "SIZE_INVALID" | "UNAUTHORIZED" | "DENIED" | "UNSUPPORTED" | "TOOMANYREQUESTS" | "RANGE_INVALID";

const STATUS: Readonly<Record<OciCode, number>> = {
  BLOB_UNKNOWN: 404, BLOB_UPLOAD_INVALID: 400, BLOB_UPLOAD_UNKNOWN: 404, DIGEST_INVALID: 400, MANIFEST_BLOB_UNKNOWN: 404, MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404, NAME_INVALID: 400, NAME_UNKNOWN: 404, SIZE_INVALID: 400, UNAUTHORIZED: 401, DENIED: 403, UNSUPPORTED: 405, TOOMANYREQUESTS: 429,
  RANGE_INVALID: 416,
};

/** An error of the registry API: thrown by its routes and nowhere else. */
export function registryError(code: OciCode, message: string, detail: unknown = null): GantryError {
  return fail("REGISTRY", message, { details: { ociCode: code, detail } });
}

export interface OciErrorAnswer { readonly status: number; readonly body: { errors: { code: string; message: string; detail: unknown }[] } }

/** Any error as the distribution-spec has it. */
export function ociAnswer(e: unknown): OciErrorAnswer {
  const answer = (status: number, code: string, message: string, detail: unknown = null) => ({ status, body: { errors: [{ code, message, detail }] } });
  if (!isGantryError(e)) return answer(500, "UNKNOWN", "internal error");
  const own = e.details["ociCode"] as OciCode | undefined;
  if (own !== undefined && Object.hasOwn(STATUS, own)) return answer(STATUS[own], own, e.message, e.details["detail"]);
  switch (e.code) {
    case "NO_SUCH_BLOB": return answer(404, "BLOB_UNKNOWN", "blob unknown to registry");
    case "NO_SUCH_UPLOAD": return answer(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    case "NO_SUCH_IMAGE": return answer(404, "MANIFEST_UNKNOWN", "manifest unknown");
    case "DIGEST_MISMATCH": return answer(400, "DIGEST_INVALID", e.message);
    case "TOO_LARGE": return answer(413, "SIZE_INVALID", e.message);
    case "INVALID": return answer(400, "MANIFEST_INVALID", e.message);
    case "UNAUTHORIZED": return answer(401, "UNAUTHORIZED", e.message);
    case "FORBIDDEN": return answer(403, "DENIED", e.message);
    case "CONFLICT": return answer(409, "BLOB_UPLOAD_INVALID", e.message);
    default: return answer(statusOf(e), "UNKNOWN", e.message);
  }
}

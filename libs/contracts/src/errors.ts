import { GantryError } from "@gantry/kernel";

/**
 * Every error code, with the HTTP status it becomes at an edge. A code is added here first.
 * Statuses follow the Docker Engine API's.
 */
export const ERROR_STATUS = {
  INVALID: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NO_SUCH_CONTAINER: 404,
  NO_SUCH_IMAGE: 404,
  NO_SUCH_EXEC: 404,
  NO_SUCH_NETWORK: 404,
  NO_SUCH_VOLUME: 404,
  NO_SUCH_NODE: 404,
  NO_SUCH_BUILD: 404,
  NO_SUCH_BLOB: 404,
  NO_SUCH_UPLOAD: 404,
  NO_SUCH_PATH: 404,
  NOT_FOUND: 404,
  CONFLICT: 409,
  NAME_IN_USE: 409,
  IMAGE_IN_USE: 409,
  NOT_RUNNING: 409,
  RUNNING: 409,
  STALE_EPOCH: 409,
  NOT_MODIFIED: 304,
  TOO_LARGE: 413,
  TOO_MANY_REQUESTS: 429,
  DIGEST_MISMATCH: 400,
  START_FAILED: 400,
  BUILD_FAILED: 400,
  NO_NODE_FITS: 503,
  NODE_UNREACHABLE: 503,
  IMAGE_UNAVAILABLE: 503,
  UNAVAILABLE: 503,
  QUEUE_FULL: 503,
  TIMEOUT: 504,
  REGISTRY: 500,
  NOT_IMPLEMENTED: 501,
  INTERNAL: 500,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** The usual way to make an error: its code is checked by the compiler. */
export function fail(code: ErrorCode, message: string, options?: { cause?: unknown; details?: Record<string, unknown> }): GantryError {
  return new GantryError(code, message, options);
}

/** Status of any error: that of its code, else 500. */
export function statusOf(e: unknown): number {
  return e instanceof GantryError && Object.hasOwn(ERROR_STATUS, e.code) ? ERROR_STATUS[e.code as ErrorCode] : 500;
}

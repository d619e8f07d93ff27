/**
 * The one error type that crosses a boundary (bus, HTTP, CLI).
 *
 * `code` is from the table in `@gantry/contracts` (errors.ts), which maps it to an HTTP status;
 * `message` is what a Docker user reads, in Docker's words where Docker has words for it;
 * `cause` keeps what lay below and is logged, never sent.
 */
export class GantryError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options?: { cause?: unknown; details?: Record<string, unknown> }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GantryError";
    this.code = code;
    this.details = options?.details ?? {};
  }
}

export function isGantryError(e: unknown, code?: string): e is GantryError {
  return e instanceof GantryError && (code === undefined || e.code === code);
}

/** The `code` of a Node system error (`ENOENT` …), or null. */
export function errnoOf(e: unknown): string | null {
  const code = (e as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : null;
}

/** A readable message of anything thrown, with its causes, for logs. */
export function describeError(e: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = e, depth = 0; at !== undefined && at !== null && depth < 8; depth++) {
    parts.push(at instanceof Error ? at.message : String(at));
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

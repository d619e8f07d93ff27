import { errnoOf, isGantryError } from "@gantry/kernel";

const SQLITE_CONSTRAINT_UNIQUE = 2067;
const SQLITE_CONSTRAINT_PRIMARYKEY = 1555;

/** True for the breach of a unique or primary key, on either database. */
export function isUniqueViolation(error: unknown): boolean {
  const code = errnoOf(error);
  if (code === "23505") return true;
  if (code !== "ERR_SQLITE_ERROR") return false;
  const { errcode } = error as { errcode?: unknown };
  return errcode === SQLITE_CONSTRAINT_UNIQUE || errcode === SQLITE_CONSTRAINT_PRIMARYKEY;
}

/** PostgreSQL: serialization_failure, deadlock_detected. The transaction was undone and may be done again. */
export function isSerializationFailure(error: unknown): boolean {
  const code = errnoOf(error);
  return code === "40001" || code === "40P01";
}

const CAUSES = 4;

/** True when the database could not be reached or went away, as opposed to an error in a statement; also of what was caused by that. */
export function isConnectionFailure(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < CAUSES; at = at.cause, depth++) if (tellsOfConnection(at)) return true;
  return false;
}

function tellsOfConnection(error: Error): boolean {
  const code = errnoOf(error);
  if (code !== null && !isGantryError(error)) return /^(08...|57P0[123]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOENT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)$/.test(code);
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed/.test(error.message);
}

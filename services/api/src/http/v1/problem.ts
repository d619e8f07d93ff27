import { STATUS_CODES } from "node:http";
import { type ErrorCode, ERROR_STATUS, statusOf } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { trace } from "@opentelemetry/api";
import { Type as T, type Static } from "typebox";

/** Where the meaning of each code is written down. */
export const PROBLEMS_PATH = "/docs/problems";
export const PROBLEM_TYPE = "application/problem+json";

/** A problem document (RFC 9457), with the code that programs tell problems apart by. */
export const Problem = T.Object({
  type: T.String({ format: "uri-reference", description: "where this kind of problem is described" }),
  title: T.String({ description: "the status in words" }),
  status: T.Integer(),
  detail: T.String({ description: "what was wrong, and what to do" }),
  code: T.Enum(Object.keys(ERROR_STATUS) as ErrorCode[]),
  instance: T.String({ format: "uri-reference", description: "the path that was asked for" }),
  traceId: T.Optional(T.String({ description: "trace of the request (W3C trace context), where traces are recorded" })),
}, { $id: "Problem", description: "problem document (RFC 9457)" });
export type Problem = Static<typeof Problem>;

const CODES: Readonly<Record<number, ErrorCode>> = {
  400: "INVALID", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "INVALID", 409: "CONFLICT", 413: "TOO_LARGE", 415: "INVALID", 503: "UNAVAILABLE",
};

/** Any error as a problem document. What is no coded error says nothing of its inside. `path`: as asked for, without the query. */
export function problemOf(error: unknown, path: string): Problem {
  const own = (error as { statusCode?: unknown } | null)?.statusCode;
  const foreign = typeof own === "number" && own >= 400 && own < 500 ? own : 500;
  const status = isGantryError(error) ? statusOf(error) : foreign;
  const code = isGantryError(error) && Object.hasOwn(ERROR_STATUS, error.code) ? (error.code as ErrorCode) : CODES[status] ?? "INTERNAL";
  const detail = error instanceof Error && (isGantryError(error) || status < 500) ? error.message : "something went wrong inside; the log of the api service says what";
  return problem(code, status, detail, path);
}

export function problem(code: ErrorCode, status: number, detail: string, path: string): Problem {
  const traceId = trace.getActiveSpan()?.spanContext().traceId;
  return {
    type: `${PROBLEMS_PATH}#${code}`, title: STATUS_CODES[status] ?? "Error", status, detail, code, instance: path,
    ...(traceId === undefined || /^0*$/.test(traceId) ? {} : { traceId }),
  };
}

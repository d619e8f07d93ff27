import { ERROR_STATUS, type ErrorCode, fail, statusOf } from "@gantry/contracts";
import { type GantryError, isGantryError } from "@gantry/kernel";

/** Of an error's body. */
const MAX_BYTES = 64 * 1024;

/** What a failed request is answered with. Errors without a code of ours keep their own status below 500, as Fastify's have it. */
export function errorAnswer(error: unknown): { readonly status: number; readonly body: { readonly message: string; readonly code: string } } {
  const message = error instanceof Error ? error.message : String(error);
  if (isGantryError(error)) return { status: statusOf(error), body: { message, code: error.code } };
  const own = (error as { statusCode?: unknown } | null)?.statusCode;
  const status = typeof own === "number" && own >= 400 && own < 500 ? own : 500;
  return { status, body: { message, code: status < 500 ? "INVALID" : "INTERNAL" } };
}

/** The error that an answer of 400 and above carries as `{message, code}`, or what its status says. Reads at most 64 KiB of it. */
export async function errorOf(status: number, body: AsyncIterable<Buffer>, from: string): Promise<GantryError> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_BYTES) break;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    const { message, code } = JSON.parse(text) as { message?: unknown; code?: unknown };
    if (typeof message === "string") return fail(isCode(code) ? code : codeFor(status), message);
  } catch {
    // Not JSON: the text itself is the message.
  }
  const plain = text.trim().slice(0, 500);
  return fail(codeFor(status), plain === "" ? `${from} answered ${status}` : plain);
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_STATUS, code);
}

function codeFor(status: number): ErrorCode {
  const codes: Readonly<Record<number, ErrorCode>> = {
    400: "INVALID", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 413: "TOO_LARGE", 416: "INVALID",
    501: "NOT_IMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "TIMEOUT",
  };
  return codes[status] ?? "INTERNAL";
}

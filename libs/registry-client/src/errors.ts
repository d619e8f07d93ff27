import { fail } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import type { Dispatcher } from "undici";

/** Of a registry's error body. */
const MAX_ERROR_BYTES = 64 * 1024;

/** What went wrong at a registry; in `details` of a REGISTRY error. */
export interface RegistryFault {
  readonly status: number;
  /** The registry's own code, in lower case with blanks: `manifest unknown`, `denied` …; empty where it said none. */
  readonly reason: string;
  readonly message: string;
}

/**
 * The error of an answer: UNAUTHORIZED for 401 and 403, else REGISTRY, in Docker's words (`manifest unknown: …`), with a
 * {@link RegistryFault} in `details`. Reads the body.
 */
export async function errorOfAnswer(answer: Dispatcher.ResponseData, what: string): Promise<GantryError> {
  const text = await readBounded(answer.body, MAX_ERROR_BYTES);
  const { code, message } = firstError(text);
  const reason = code.toLowerCase().replaceAll("_", " ");
  const words = reason === "" ? `unexpected status ${answer.statusCode}` : message === "" ? reason : `${reason}: ${message}`;
  const fault: RegistryFault = { status: answer.statusCode, reason, message };
  const unauthorized = answer.statusCode === 401 || answer.statusCode === 403;
  return fail(unauthorized ? "UNAUTHORIZED" : "REGISTRY", reason === "" ? `${what}: ${words}` : words, { details: { ...fault } });
}

/** The fault behind an error; null where the registry was not even reached. */
export function registryFault(e: unknown): RegistryFault | null {
  const details = (e as { details?: unknown } | null)?.details as Partial<RegistryFault> | undefined;
  return details !== undefined && typeof details.status === "number" && typeof details.reason === "string"
    ? { status: details.status, reason: details.reason, message: details.message ?? "" } : null;
}

/** A text of at most so many bytes; the rest is not read. */
export async function readBounded(body: AsyncIterable<unknown>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString("utf8");
}

function firstError(text: string): { code: string; message: string } {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
    const first = errors?.[0];
    const word = (value: unknown) => (typeof value === "string" ? value.slice(0, 1000) : "");
    return { code: word(first?.code), message: word(first?.message) };
  } catch {
    // Proxies answer HTML: the status says enough.
    return { code: "", message: "" };
  }
}

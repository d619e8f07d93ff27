import { fail } from "@gantry/contracts";
import { GantryError } from "@gantry/kernel";

/** A reply on the wire: `{"ok": reply}` or `{"error": {code, message, details}}`. The reply itself is JSON text already. */
export function okText(replyText: string): string {
  return `{"ok":${replyText}}`;
}

export function errorText(error: GantryError): string {
  return JSON.stringify({ error: { code: error.code, message: error.message, details: error.details } });
}

/** The reply of a wire text, unchecked against its contract; throws the error the handler threw. */
export function readReply(text: string): unknown {
  let wire: { ok?: unknown; error?: { code?: unknown; message?: unknown; details?: unknown } };
  try {
    wire = JSON.parse(text) as typeof wire;
  } catch (cause) {
    throw fail("INTERNAL", "the reply is not JSON", { cause });
  }
  const error = wire.error;
  if (error === undefined) return wire.ok;
  const details = typeof error.details === "object" && error.details !== null ? (error.details as Record<string, unknown>) : {};
  throw new GantryError(String(error.code), String(error.message), { details });
}

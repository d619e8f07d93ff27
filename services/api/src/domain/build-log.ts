import { isRecord } from "./query.ts";

/** One line of `GET /v1/builds/:id/logs`. */
export type BuildLogLine =
  | { readonly kind: "message"; readonly seq: number; readonly step: number; readonly message: Record<string, unknown> }
  | { readonly kind: "end"; readonly seq: number; readonly state: string; readonly imageId: string | null; readonly error: string | null };

/** null for a line of neither form, which is passed over. */
export function parseBuildLogLine(line: string): BuildLogLine | null {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch {
    return null;
  }
  if (!isRecord(row) || typeof row["seq"] !== "number") return null;
  const { seq, step, message, end } = row;
  if (isRecord(message)) return { kind: "message", seq, step: typeof step === "number" ? step : 0, message };
  if (!isRecord(end)) return null;
  return { kind: "end", seq, state: String(end["state"]), imageId: stringOrNull(end["imageId"]), error: stringOrNull(end["error"]) };
}

function stringOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

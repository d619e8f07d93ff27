import { fail } from "@gantry/contracts";

const FALSE = new Set(["", "0", "no", "false", "none"]);

/** Docker's reading of a truth value: all but nothing, `0`, `no`, `false` and `none`. */
export function bool(query: URLSearchParams, name: string, absent = false): boolean {
  const value = query.get(name);
  return value === null ? absent : !FALSE.has(value.trim().toLowerCase());
}

export function text(query: URLSearchParams, name: string): string {
  return query.get(name) ?? "";
}

/** null where it is absent or empty. Throws INVALID for what is no whole number. */
export function integer(query: URLSearchParams, name: string): number | null {
  const value = query.get(name);
  if (value === null || value === "") return null;
  const number = Number(value);
  if (!/^-?[0-9]+$/.test(value) || !Number.isSafeInteger(number)) {
    throw fail("INVALID", `invalid value "${value.slice(0, 64)}" for ${name}: not a whole number`);
  }
  return number;
}

/** A parameter whose value is JSON; `absent` where there is none or it is `null`. */
export function json(query: URLSearchParams, name: string, absent: unknown): unknown {
  const value = query.get(name);
  if (value === null || value === "") return absent;
  try {
    return JSON.parse(value) ?? absent;
  } catch (cause) {
    throw fail("INVALID", `invalid value for ${name}: not JSON`, { cause });
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

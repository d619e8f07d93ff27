import { fail } from "@gantry/contracts";

/** Readers of JSON that came from a client: absent and null give the default, another type is INVALID with the field's name. */
export type Json = Readonly<Record<string, unknown>>;

const wrong = (field: string, wanted: string) => fail("INVALID", `invalid value for ${field}: must be ${wanted}`);

export function object(value: unknown, field: string): Json {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(field, "an object");
  return value as Json;
}

export function string(source: Json, field: string, otherwise = ""): string {
  const value = source[field];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== "string") throw wrong(field, "a string");
  if (value.length > 65536 || value.includes("\0")) throw wrong(field, "a string without NUL of at most 65536 characters");
  return value;
}

export function boolean(source: Json, field: string, otherwise = false): boolean {
  const value = source[field];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== "boolean") throw wrong(field, "a boolean");
  return value;
}

export function integer(source: Json, field: string, otherwise = 0): number {
  const value = source[field];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== "number" || !Number.isInteger(value)) throw wrong(field, "an integer");
  return value;
}

/** null stays null. */
export function nullable<T>(source: Json, field: string, read: (source: Json, field: string) => T): T | null {
  return source[field] === undefined || source[field] === null ? null : read(source, field);
}

export function list<T>(source: Json, field: string, item: (value: unknown, field: string) => T, limit = 10_000): T[] {
  const value = source[field];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(field, "a list");
  if (value.length > limit) throw fail("TOO_LARGE", `${field} has more than ${limit} entries`);
  return value.map((v, i) => item(v, `${field}[${i}]`));
}

export function strings(source: Json, field: string): string[] {
  return list(source, field, (value, at) => string({ [at]: value }, at));
}

export function map<T>(source: Json, field: string, item: (value: unknown, field: string) => T): Record<string, T> {
  const value = object(source[field], field);
  const keys = Object.keys(value);
  if (keys.length > 10_000) throw fail("TOO_LARGE", `${field} has more than 10000 entries`);
  return Object.fromEntries(keys.map((key) => [key, item(value[key], `${field}.${key}`)]));
}

export function stringMap(source: Json, field: string): Record<string, string> {
  return map(source, field, (value, at) => string({ [at]: value }, at));
}

/** A set such as `{"80/tcp": {}}`. */
export function nameSet(source: Json, field: string): Record<string, Record<string, never>> {
  return map(source, field, () => ({}));
}

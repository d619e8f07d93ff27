/**
 * A JSON column is a text column on both databases: these two are the only way in and out,
 * so that a value reads the same from either.
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

/** The value of a JSON column; its type is what the column was written with. */
export function fromJson<T>(text: string): T {
  return JSON.parse(text) as T;
}

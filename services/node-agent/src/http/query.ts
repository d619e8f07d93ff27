/** Docker's booleans: absent, empty, 0, no, false and none are false. */
export function flag(query: URLSearchParams, name: string): boolean {
  return !["", "0", "no", "false", "none"].includes((query.get(name) ?? "").trim().toLowerCase());
}

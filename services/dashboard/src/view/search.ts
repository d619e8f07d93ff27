/** True when each word of `search` is in one of `fields`, whatever its case. */
export function matches(search: string, fields: readonly string[]): boolean {
  const text = fields.join("\n").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const special = /[.+^${}()|[\]\\*?/]/;
export const escapeRegex = (ch: string): string => (special.test(ch) ? `\\${ch}` : ch);

/** A shell pattern of `*` and `?` as the source of a regular expression (not anchored; `*` also matches `/`). */
export function globToRegex(pattern: string, escape: string): string {
  let out = "";
  const chars = [...pattern];
  for (let i = 0; i < chars.length; i++) {
    const ch = chars[i]!;
    if (ch === escape && i + 1 < chars.length) out += escapeRegex(chars[++i]!);
    else if (ch === "*") out += "[^]*";
    else if (ch === "?") out += "[^]";
    else out += escapeRegex(ch);
  }
  return out;
}

import { escapeRegex } from "./glob.ts";

/** A pattern that Go's filepath.Match refuses. */
export class BadPattern extends Error {
  constructor(pattern: string) {
    super(`syntax error in pattern: ${pattern}`);
  }
}

/**
 * Go's filepath.Match as the source of a regular expression: `*` and `?` stop at `/`, `[a-z]`, `[^a]`, `\c`.
 * With `doubleStar`, `**` matches any number of directories, as in `.dockerignore`.
 */
export function patternSource(pattern: string, doubleStar: boolean): string {
  const chars = [...pattern];
  let out = "";
  for (let i = 0; i < chars.length; i++) {
    const ch = chars[i]!;
    if (ch === "*" && doubleStar && chars[i + 1] === "*") {
      i++;
      if (chars[i + 1] === "/") i++;
      out += i + 1 >= chars.length ? ".*" : "(?:.*/)?";
    } else if (ch === "*") out += "[^/]*";
    else if (ch === "?") out += "[^/]";
    else if (ch === "\\") {
      if (i + 1 >= chars.length) throw new BadPattern(pattern);
      out += escapeRegex(chars[++i]!);
    } else if (ch === "[") {
      const { source, end } = charClass(chars, i, pattern);
      out += source;
      i = end;
    } else out += escapeRegex(ch);
  }
  return out;
}

const member = (ch: string): string => (ch === "-" ? "\\-" : escapeRegex(ch));

function charClass(chars: readonly string[], start: number, pattern: string): { source: string; end: number } {
  let i = start + 1;
  const negated = chars[i] === "^";
  if (negated) i++;
  let body = "";
  const one = (): string => {
    let ch = chars[i];
    if (ch === undefined || ch === "-" || ch === "]") throw new BadPattern(pattern);
    if (ch === "\\") ch = chars[++i];
    if (ch === undefined) throw new BadPattern(pattern);
    i++;
    return ch;
  };
  while (body === "" || chars[i] !== "]") {
    const low = one();
    let high = low;
    if (chars[i] === "-") { i++; high = one(); }
    if (low.codePointAt(0)! > high.codePointAt(0)!) {
      // Go accepts such a range; it matches nothing.
      if (body === "") body = "\u{10FFFF}";
      continue;
    }
    body += low === high ? member(low) : `${member(low)}-${member(high)}`;
  }
  return { source: `[${negated ? "^" : ""}${body}]`, end: i };
}

/** Go's filepath.Match, compiled. Throws {@link BadPattern}. */
export function pathMatcher(pattern: string): (name: string) => boolean {
  const regex = new RegExp(`^(?:${patternSource(pattern, false)})$`, "su");
  return (name) => regex.test(name);
}

export const hasWildcards = (path: string): boolean => /(?:^|[^\\])(?:\\\\)*[*?[]/.test(path);

import { fail } from "@gantry/contracts";

/** Go's path.Match: `*` and `?` stay within a path component, `[…]` a class, `\` takes the next as it is. Throws INVALID. */
export function matchGlob(pattern: string, text: string): boolean {
  if (pattern.length > 1024) throw fail("INVALID", "syntax error in pattern");
  return match(pattern, text);
}

function match(pattern: string, text: string): boolean {
  let p = 0, t = 0, starP = -1, starT = 0;
  for (;;) {
    if (p < pattern.length) {
      if (pattern[p] === "*") { starP = ++p; starT = t; continue; }
      const unit = readUnit(pattern, p);
      if (t < text.length && unit.accepts(text[t]!)) { p = unit.next; t++; continue; }
    } else if (t === text.length) {
      return true;
    }
    // Retry with the last star one character longer: two pointers, so the time is the product of the lengths at most.
    if (starP < 0 || starT >= text.length || text[starT] === "/") return false;
    t = ++starT;
    p = starP;
  }
}

interface Unit { readonly next: number; accepts(char: string): boolean }

function readUnit(pattern: string, at: number): Unit {
  const char = pattern[at]!;
  if (char === "?") return { next: at + 1, accepts: (c) => c !== "/" };
  if (char === "[") return readClass(pattern, at + 1);
  const { value, next } = readLiteral(pattern, at);
  return { next, accepts: (c) => c === value };
}

function readLiteral(pattern: string, at: number): { value: string; next: number } {
  const escaped = pattern[at] === "\\";
  const value = pattern[escaped ? at + 1 : at];
  if (value === undefined) throw fail("INVALID", "syntax error in pattern");
  return { value, next: at + (escaped ? 2 : 1) };
}

function readClass(pattern: string, start: number): Unit {
  let at = start;
  const negated = pattern[at] === "^";
  if (negated) at++;
  const ranges: [string, string][] = [];
  while (pattern[at] !== "]" || ranges.length === 0) {
    if (pattern[at] === undefined || pattern[at] === "]" || pattern[at] === "-") throw fail("INVALID", "syntax error in pattern");
    const low = readLiteral(pattern, at);
    at = low.next;
    let high = low.value;
    if (pattern[at] === "-") ({ value: high, next: at } = readLiteral(pattern, at + 1));
    ranges.push([low.value, high]);
  }
  return { next: at + 1, accepts: (c) => c !== "/" && ranges.some(([low, high]) => c >= low && c <= high) !== negated };
}

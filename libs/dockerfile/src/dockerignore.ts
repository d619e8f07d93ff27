import { posix } from "node:path";
import { BadPattern, patternSource } from "./path-match.ts";

interface Rule { readonly regex: RegExp; readonly keep: boolean }

/**
 * A `.dockerignore` file: one pattern a line (filepath.Match and `**`), `!` takes back, the last match wins, a match of a
 * directory holds for all beneath it.
 */
export class IgnoreMatcher {
  readonly #rules: readonly Rule[];

  constructor(patterns: readonly string[]) {
    this.#rules = patterns.map((pattern) => {
      const keep = pattern.startsWith("!");
      const body = keep ? pattern.slice(1) : pattern;
      if (body === "") throw new BadPattern(pattern);
      return { regex: new RegExp(`^(?:${patternSource(body, true)})(?:/|$)`, "su"), keep };
    });
  }

  static parse(text: string): IgnoreMatcher {
    return new IgnoreMatcher(parseIgnoreFile(text));
  }

  get empty(): boolean {
    return this.#rules.length === 0;
  }

  /** `path` is relative to the context, without a leading slash. */
  ignores(path: string): boolean {
    let ignored = false;
    for (const { regex, keep } of this.#rules) if (ignored === keep && regex.test(path)) ignored = !keep;
    return ignored;
  }
}

/** Patterns of an ignore file, cleaned as Docker does: comments only at the start of a line, leading `/` dropped. */
export function parseIgnoreFile(text: string): string[] {
  const patterns: string[] = [];
  for (const line of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    let pattern = line.trim();
    if (pattern === "") continue;
    const keep = pattern.startsWith("!");
    if (keep) pattern = pattern.slice(1).trim();
    if (pattern !== "") {
      pattern = posix.normalize(pattern);
      if (pattern.length > 1) pattern = pattern.replace(/\/$/, "");
      if (pattern.length > 1 && pattern.startsWith("/")) pattern = pattern.slice(1);
    }
    patterns.push(keep ? `!${pattern}` : pattern);
  }
  return patterns;
}

import { globToRegex } from "./glob.ts";

/** Values by name; a missing name is unset. */
export type Variables = ReadonlyMap<string, string>;

/** A fault in a word, such as an unsupported modifier; the caller adds instruction and line. */
export class ExpansionError extends Error {}

const MAX_DEPTH = 50;
const MAX_RESULT = 1024 * 1024;

/**
 * Expands one word as Docker does: `$x`, `${x}`, `${x:-y}`, `${x-y}`, `${x:+y}`, `${x+y}`, `${x:?m}`, `${x?m}`, `${x#p}`, `${x##p}`,
 * `${x%p}`, `${x%%p}`, `${x/p/r}`, `${x//p/r}`. Takes out quotes and escapes. Single quotes keep all as it is. Unset is empty.
 */
export function expandWord(word: string, variables: Variables, escape: string): string {
  return new Expander(word, variables, escape, 0, false).word();
}

/** The same, then split at white space that is not quoted: what EXPOSE does with `$PORTS`. */
export function expandWords(word: string, variables: Variables, escape: string): string[] {
  return new Expander(word, variables, escape, 0, false).words();
}

/** Expands `$` in a text and leaves quotes as they are: for here-documents. */
export function expandText(text: string, variables: Variables, escape: string): string {
  return new Expander(text, variables, escape, 0, true).word();
}

class Expander {
  readonly #text: string;
  readonly #variables: Variables;
  readonly #escape: string;
  readonly #depth: number;
  readonly #raw: boolean;
  #at = 0;
  #out = "";
  /** Finished words, and whether the current one has begun (an empty quoted word counts). */
  readonly #done: string[] = [];
  #begun = false;

  constructor(text: string, variables: Variables, escape: string, depth: number, raw: boolean) {
    if (depth > MAX_DEPTH) throw new ExpansionError("substitutions are nested too deeply");
    this.#text = text;
    this.#variables = variables;
    this.#escape = escape;
    this.#depth = depth;
    this.#raw = raw;
  }

  word(): string {
    this.#run(false);
    return this.#out;
  }

  words(): string[] {
    this.#run(true);
    if (this.#begun) this.#done.push(this.#out);
    return this.#done;
  }

  #add(piece: string): void {
    this.#out += piece;
    this.#begun = true;
    if (this.#out.length > MAX_RESULT) throw new ExpansionError("the expanded value is too long");
  }

  #run(split: boolean): void {
    const text = this.#text;
    while (this.#at < text.length) {
      const ch = text[this.#at]!;
      if (ch === "'" && !this.#raw) this.#singleQuoted();
      else if (ch === '"' && !this.#raw) this.#doubleQuoted();
      else if (ch === "$") {
        const value = this.#dollar();
        if (split) this.#addSplit(value); else this.#add(value);
      } else if (ch === this.#escape) this.#escaped();
      else if (split && /\s/.test(ch)) { this.#at++; this.#endWord(); }
      else { this.#at++; this.#add(ch); }
    }
  }

  #escaped(): void {
    const next = this.#text[this.#at + 1];
    if (this.#raw && next !== "$" && next !== this.#escape) this.#add(this.#escape);
    if (next !== undefined) this.#add(next);
    this.#at += 2;
  }

  #endWord(): void {
    if (this.#begun) this.#done.push(this.#out);
    this.#out = "";
    this.#begun = false;
  }

  #addSplit(value: string): void {
    for (const [i, part] of value.split(/\s+/).entries()) {
      if (i > 0) this.#endWord();
      if (part !== "") this.#add(part);
    }
  }

  #singleQuoted(): void {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new ExpansionError("unexpected end of statement while looking for matching single-quote");
    this.#add(this.#text.slice(this.#at + 1, end));
    this.#at = end + 1;
  }

  #doubleQuoted(): void {
    this.#at++;
    this.#add("");
    for (;;) {
      const ch = this.#text[this.#at];
      if (ch === undefined) throw new ExpansionError("unexpected end of statement while looking for matching double-quote");
      if (ch === '"') { this.#at++; return; }
      if (ch === "$") { this.#add(this.#dollar()); continue; }
      const next = this.#text[this.#at + 1];
      if (ch === this.#escape && next !== undefined) {
        this.#add(next === '"' || next === "$" || next === this.#escape ? next : ch + next);
        this.#at += 2;
        continue;
      }
      this.#add(ch);
      this.#at++;
    }
  }

  #dollar(): string {
    this.#at++;
    if (this.#text[this.#at] !== "{") {
      const name = this.#name();
      return name === "" ? "$" : this.#variables.get(name) ?? "";
    }
    this.#at++;
    const next = this.#text[this.#at];
    if (next === undefined) throw new ExpansionError("syntax error: missing '}'");
    const name = this.#name();
    if (name === "") throw new ExpansionError("syntax error: bad substitution");
    const value = this.#variables.get(name);
    const op = this.#text[this.#at++];
    if (op === "}") return value ?? "";
    if (op === undefined) throw new ExpansionError("syntax error: missing '}'");
    if (op === ":") {
      const modifier = this.#text[this.#at++] ?? "";
      return this.#default(name, modifier, value === undefined || value === "", value ?? "", `:${modifier}`);
    }
    if (op === "+" || op === "-" || op === "?") return this.#default(name, op, value === undefined, value ?? "", op);
    if (op === "#" || op === "%") {
      const longest = this.#text[this.#at] === op;
      if (longest) this.#at++;
      return trimMatch(value ?? "", this.#until("}", true), op === "#", longest, this.#escape);
    }
    if (op === "/") {
      const all = this.#text[this.#at] === "/";
      if (all) this.#at++;
      const pattern = this.#until("/", true);
      const replacement = this.#until("}", false);
      const regex = new RegExp(globToRegex(pattern, this.#escape), all ? "gu" : "u");
      return pattern === "" ? value ?? "" : (value ?? "").replace(regex, () => replacement);
    }
    throw new ExpansionError(`unsupported modifier (${op}) in substitution`);
  }

  #default(name: string, modifier: string, missing: boolean, value: string, written: string): string {
    if (modifier !== "-" && modifier !== "+" && modifier !== "?") throw new ExpansionError(`unsupported modifier (${written}) in substitution`);
    const word = this.#until("}", false);
    if (modifier === "-") return missing ? word : value;
    if (modifier === "+") return missing ? "" : word;
    if (missing) throw new ExpansionError(`${name}: ${word === "" ? (written === "?" ? "is not allowed to be unset" : "is not allowed to be empty") : word}`);
    return value;
  }

  /** Name of a variable: a word, digits, or one of the shell's special parameters. */
  #name(): string {
    const rest = this.#text.slice(this.#at, this.#at + 512);
    const match = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?\-$!])/.exec(rest);
    if (match === null) return "";
    this.#at += match[0].length;
    return match[0];
  }

  /** The word up to `stop` at this level of nesting, expanded; `pattern`: quoted characters come out escaped. */
  #until(stop: string, pattern: boolean): string {
    const start = this.#at;
    let depth = 0;
    let quote = "";
    for (let i = start; i < this.#text.length; i++) {
      const ch = this.#text[i]!;
      if (quote !== "'" && ch === this.#escape) { i++; continue; }
      if (quote !== "") { if (ch === quote) quote = ""; continue; }
      if ((ch === "'" || ch === '"') && !this.#raw) { quote = ch; continue; }
      if (ch === "$" && this.#text[i + 1] === "{") { depth++; i++; continue; }
      if (ch === stop && depth === 0) {
        this.#at = i + 1;
        const inner = this.#text.slice(start, i);
        if (pattern && !/["'$]/.test(inner)) return inner;
        return new Expander(inner, this.#variables, this.#escape, this.#depth + 1, this.#raw).word();
      }
      if (ch === "}" && depth > 0) depth--;
    }
    throw new ExpansionError("syntax error: missing '}'");
  }
}

function trimMatch(value: string, pattern: string, front: boolean, longest: boolean, escape: string): string {
  const regex = new RegExp(`^(?:${globToRegex(pattern, escape)})$`, "u");
  const chars = [...value];
  const lengths = chars.map((_, i) => i).concat(chars.length);
  if (longest) lengths.reverse();
  for (const n of lengths) {
    const piece = front ? chars.slice(0, n).join("") : chars.slice(chars.length - n).join("");
    if (regex.test(piece)) return front ? chars.slice(n).join("") : chars.slice(0, chars.length - n).join("");
  }
  return value;
}

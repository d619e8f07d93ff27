import { DockerfileError } from "./errors.ts";

/**
 * Splits at white space outside quotes; quotes and escapes stay in the words (they are taken out by expansion).
 * As Docker's parser does for ENV, LABEL and ARG.
 */
export function quotedWords(text: string, escape: string): string[] {
  const words: string[] = [];
  let word = "";
  let started = false;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const ch = text[i]!;
    if (quote === "" && /\s/.test(ch)) {
      if (started) words.push(word);
      word = "";
      started = false;
      continue;
    }
    started = true;
    if (ch === escape && quote !== "'") {
      if (i + 1 === text.length) break;
      word += ch + text[++i]!;
      continue;
    }
    if (quote === "" && (ch === "'" || ch === '"')) quote = ch;
    else if (ch === quote) quote = "";
    word += ch;
  }
  if (started && word !== "") words.push(word);
  return words;
}

/** Flags (`--name=value` or `--name`) before the arguments, and what follows them. `--` ends the flags. */
export function splitFlags(text: string, escape: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let rest = text;
  for (;;) {
    rest = rest.trimStart();
    if (!rest.startsWith("--")) return { flags, rest };
    const word = firstWord(rest, escape);
    rest = rest.slice(word.length);
    if (word === "--") return { flags, rest: rest.trimStart() };
    flags.push(unquote(word, escape));
  }
}

function firstWord(text: string, escape: string): string {
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const ch = text[i]!;
    if (ch === escape && quote !== "'") i++;
    else if (quote !== "") { if (ch === quote) quote = ""; }
    else if (ch === "'" || ch === '"') quote = ch;
    else if (/\s/.test(ch)) return text.slice(0, i);
  }
  return text;
}

function unquote(word: string, escape: string): string {
  let out = "";
  let quote = "";
  for (let i = 0; i < word.length; i++) {
    const ch = word[i]!;
    if (ch === escape && quote !== "'" && i + 1 < word.length) out += word[++i]!;
    else if (quote !== "" && ch === quote) quote = "";
    else if (quote === "" && (ch === "'" || ch === '"')) quote = ch;
    else out += ch;
  }
  return out;
}

export const plainWords = (text: string): string[] => text.split(/[\t\v\f\r ]+/).filter((word) => word !== "");

/** The strings of a JSON array, or null when the text is not one (then it is the shell form). */
export function jsonForm(line: number, text: string): string[] | null {
  if (!text.startsWith("[")) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(value)) return null;
  if (!value.every((item) => typeof item === "string")) {
    throw new DockerfileError(line, "when using JSON array syntax, arrays must be comprised of strings only");
  }
  return value;
}

export interface KeyValue { readonly key: string; readonly value: string }

/** `name value` (the old form, one pair) or `name=value …`. */
export function keyValues(line: number, instruction: string, text: string, escape: string): KeyValue[] {
  const words = quotedWords(text, escape);
  const first = words[0];
  if (first === undefined) throw new DockerfileError(line, `${instruction} requires at least one argument`);
  if (!first.includes("=")) {
    const match = /^(\S+)\s+([^]*)$/.exec(text);
    if (match === null) throw new DockerfileError(line, `${instruction} must have two arguments`);
    return [{ key: match[1]!, value: match[2]! }];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0) throw new DockerfileError(line, `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    if (at === 0) throw new DockerfileError(line, `${instruction} names can not be blank`);
    return { key: word.slice(0, at), value: word.slice(at + 1) };
  });
}

import { formatDuration, type Healthcheck } from "@gantry/dockerfile";

const ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
};

/** A text as Go's `%q` prints it. */
export function quote(text: string): string {
  let out = '"';
  for (const ch of text) {
    const code = ch.codePointAt(0)!;
    const escaped = ESCAPES[ch];
    if (escaped !== undefined) out += escaped;
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (printable(ch)) out += ch;
    else out += code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  }
  return `${out}"`;
}

const printable = (ch: string): boolean => ch === " " || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(ch);

/** `["a" "b"]` */
export const quoteList = (items: readonly string[]): string => `[${items.map(quote).join(" ")}]`;

/** `[a b]` */
export const plainList = (items: readonly string[]): string => `[${items.join(" ")}]`;

/** Docker's HealthConfig printed with `%q`: the last is a rune, which is what `%q` makes of a number. */
export function quoteHealthcheck(check: Healthcheck): string {
  const durations = [check.interval, check.timeout, check.startPeriod].map((ns) => `"${formatDuration(ns)}"`);
  if (check.startInterval !== 0) durations.push(`"${formatDuration(check.startInterval)}"`);
  return `&{${quoteList(check.test)} ${durations.join(" ")} ${quoteRune(check.retries)}}`;
}

function quoteRune(code: number): string {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return "'\ufffd'";
  const ch = String.fromCodePoint(code);
  return ch === "'" ? "'\\''" : ch === '"' ? "'\"'" : `'${quote(ch).slice(1, -1)}'`;
}

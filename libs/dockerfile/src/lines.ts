import { DockerfileError } from "./errors.ts";
import { heredocsOf, type Heredoc } from "./heredoc.ts";

/** One instruction as text: comments and line continuations taken out. Lines count from 1. */
export interface LogicalLine {
  readonly line: number;
  readonly endLine: number;
  readonly text: string;
  readonly heredocs: readonly Heredoc[];
}

export interface Lines {
  /** `\` or a backtick. */
  readonly escape: string;
  readonly lines: readonly LogicalLine[];
  readonly warnings: readonly string[];
}

const MAX_DOCKERFILE = 4 * 1024 * 1024;
const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;
const isComment = (line: string): boolean => /^[ \t]*#/.test(line);

/**
 * Splits a Dockerfile into instructions. Parser directives count only at the very top; of these `escape` is obeyed, `syntax`
 * and `check` are accepted. A `#` line between continued lines is left out; so is an empty one, with a warning.
 */
export function splitLines(source: string): Lines {
  if (source.length > MAX_DOCKERFILE) throw new DockerfileError(0, `the Dockerfile is larger than ${MAX_DOCKERFILE} bytes`);
  const raw = source.replace(/^\uFEFF/, "").split(/\r?\n/);
  const escape = readDirectives(raw);
  const continued = escape === "\\" ? /(?:^|[^\\])\\[ \t]*$/ : /(?:^|[^`])`[ \t]*$/;
  const lines: LogicalLine[] = [];
  const warnings: string[] = [];

  for (let at = 0; at < raw.length; at++) {
    const first = raw[at]!;
    if (first.trim() === "" || isComment(first)) continue;
    const line = at + 1;
    let text = "";
    let piece = first.trimStart();
    let emptyContinuation = false;
    for (;;) {
      if (!continued.test(piece)) { text += piece; break; }
      text += piece.slice(0, piece.lastIndexOf(escape));
      do {
        at++;
        if (at < raw.length && raw[at]!.trim() === "") emptyContinuation = true;
      } while (at < raw.length && (raw[at]!.trim() === "" || isComment(raw[at]!)));
      if (at >= raw.length) break;
      piece = raw[at]!;
    }
    text = text.trim();
    if (emptyContinuation) warnings.push(`[WARNING]: Empty continuation line found in:\n    ${text}\n`);
    if (text === "") continue;
    const heredocs = heredocsOf(text, escape).map((open) => {
      const body: string[] = [];
      for (;;) {
        at++;
        if (at >= raw.length) throw new DockerfileError(line, `unterminated heredoc`);
        const row = open.stripTabs ? raw[at]!.replace(/^\t+/, "") : raw[at]!;
        if (row === open.name) break;
        body.push(row);
      }
      return { ...open, content: body.map((row) => `${row}\n`).join("") };
    });
    lines.push({ line, endLine: Math.min(at + 1, raw.length), text, heredocs });
  }
  return { escape, lines, warnings };
}

function readDirectives(raw: readonly string[]): string {
  const seen = new Map<string, string>();
  for (const [i, line] of raw.entries()) {
    const match = DIRECTIVE.exec(line);
    const name = match?.[1]?.toLowerCase();
    if (match === null || (name !== "escape" && name !== "syntax" && name !== "check")) break;
    if (seen.has(name)) throw new DockerfileError(i + 1, `only one ${name} parser directive can be used`);
    if (name === "escape" && match[2] !== "\\" && match[2] !== "`") {
      throw new DockerfileError(i + 1, `invalid escape token '${match[2]}' does not match \` or \\`);
    }
    seen.set(name, match[2]!);
  }
  return seen.get("escape") ?? "\\";
}

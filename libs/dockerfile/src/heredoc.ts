/** A here-document of RUN, COPY or ADD. */
export interface Heredoc {
  readonly name: string;
  /** False when the name was quoted: its text is taken as it is. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are stripped. */
  readonly stripTabs: boolean;
  readonly content: string;
}

const WORD = /^(\d*)<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_.-]*)\3$/;
const TAKES_HEREDOC = /^(?:onbuild\s+)?(?:run|copy|add)(?=\s)/i;

/** The here-documents that an instruction opens, in order; `content` is not read yet. JSON forms have none. */
export function heredocsOf(text: string, escape: string): Omit<Heredoc, "content">[] {
  const head = TAKES_HEREDOC.exec(text);
  if (head === null || !text.includes("<<")) return [];
  const rest = text.slice(head[0].length).trim();
  if (rest.startsWith("[")) return [];
  const found: Omit<Heredoc, "content">[] = [];
  for (const word of unquotedWords(rest, escape)) {
    const match = WORD.exec(word);
    if (match !== null) found.push({ name: match[4]!, expand: match[3] === "", stripTabs: match[2] === "-" });
  }
  return found;
}

/** Words of shell text, quotes kept: a `<<` inside quotes opens nothing. Operators such as `;` and `>` end a word. */
function unquotedWords(text: string, escape: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const ch = text[i]!;
    if (quote !== "") {
      if (ch === quote) quote = "";
      word += ch;
    } else if (ch === escape) {
      word += ch + (text[++i] ?? "");
    } else if (ch === "'" || ch === '"') {
      quote = ch;
      word += ch;
    } else if (/[\s;|&>]/.test(ch)) {
      if (word !== "") words.push(word);
      word = "";
    } else if (ch === "<" && word !== "" && !/^\d*<*$/.test(word)) {
      words.push(word);
      word = ch;
    } else word += ch;
  }
  if (word !== "") words.push(word);
  return words;
}

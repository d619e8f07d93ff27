/** A challenge of a `WWW-Authenticate` header (RFC 9110 11.6.1). Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;

/** Parses one header, which may hold several challenges. What does not parse ends it; what came before is kept. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const skip = (pattern: RegExp): void => { while (at < header.length && pattern.test(header[at]!)) at++; };
  const token = (): string | null => {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(header);
    if (match === null) return null;
    at = TOKEN.lastIndex;
    return match[0].toLowerCase();
  };
  while (at < header.length) {
    skip(/[\s,]/);
    const start = at;
    const word = token();
    if (word === null) break;
    skip(/\s/);
    if (header[at] !== "=") {
      challenges.push({ scheme: word, parameters: new Map() });
      continue;
    }
    const current = challenges.at(-1);
    if (current === undefined) break;
    at++;
    skip(/\s/);
    const value = header[at] === '"' ? quoted() : unquoted();
    if (value === null || at === start) break;
    current.parameters.set(word, value);
  }
  return challenges;

  function quoted(): string | null {
    let text = "";
    for (at++; at < header.length; at++) {
      const char = header[at]!;
      if (char === '"') { at++; return text; }
      if (char === "\\") at++;
      text += header[at] ?? "";
    }
    return null;
  }

  function unquoted(): string {
    const start = at;
    while (at < header.length && !/[\s,]/.test(header[at]!)) at++;
    return header.slice(start, at);
  }
}

import { isLoopback, parseIp } from "./ip.ts";

/** What resolv.conf(5) says, of the lines that containers inherit. */
export interface ResolvConf {
  nameservers: string[];
  search: string[];
  options: string[];
}

const MAX_NAMESERVERS = 8;

export function parseResolvConf(text: string): ResolvConf {
  const conf: ResolvConf = { nameservers: [], search: [], options: [] };
  for (const line of text.slice(0, 64 * 1024).split("\n")) {
    const [keyword, ...words] = line.replace(/[#;].*$/, "").trim().split(/\s+/);
    if (keyword === "nameserver" && words[0] !== undefined && parseIp(words[0].replace(/%.*$/, "")) !== null && conf.nameservers.length < MAX_NAMESERVERS) {
      conf.nameservers.push(words[0]);
    }
    // The last one counts, as in resolv.conf(5).
    else if (keyword === "search" || keyword === "domain") conf.search = words;
    else if (keyword === "options") conf.options.push(...words);
  }
  return conf;
}

/** Servers that a container can reach from its own network namespace: not those on the host's loopback, nor link-local with a zone. */
export function reachableFromContainers(nameservers: readonly string[]): string[] {
  return nameservers.filter((s) => !s.includes("%") && !isLoopback(s));
}

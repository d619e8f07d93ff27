/** Docker's versions have a dot: `/v1/…` is not one of them. */
const VERSIONED = /^\/v([0-9]+\.[0-9.]*)(?=\/)/;

/** The `1.NN` of a path such as `/v1.51/info`; null where there is none. */
export function versionOf(url: string): string | null {
  return VERSIONED.exec(url)?.[1] ?? null;
}

const NAMED: Readonly<Record<string, readonly string[]>> = {
  GET: ["/json", "/history", "/get"],
  POST: ["/tag", "/push"],
};
const FAMILIES = ["/images/", "/distribution/", "/plugins/"];
const PLUGIN_VERBS = ["/json", "/enable", "/disable", "/upgrade", "/push", "/set"];

/**
 * The URL that the router sees: without the version, and with the slashes of an image's or plugin's name escaped, so that
 * `/v1.51/images/localhost:5000/a/b/json` is `/images/localhost:5000%2Fa%2Fb/json`. The query is left as it is.
 */
export function routedUrl(method: string, url: string): string {
  const bare = url.replace(VERSIONED, "");
  const family = FAMILIES.find((f) => bare.startsWith(f));
  if (family === undefined) return bare;
  const mark = bare.indexOf("?");
  const path = mark < 0 ? bare : bare.slice(0, mark);
  const query = mark < 0 ? "" : bare.slice(mark);
  const rest = path.slice(family.length);
  const verbs = family === "/plugins/" ? PLUGIN_VERBS : (NAMED[method === "HEAD" ? "GET" : method] ?? []);
  const verb = method === "DELETE" ? "" : verbs.find((v) => rest.length > v.length && rest.endsWith(v));
  if (verb === undefined) return bare;
  const name = rest.slice(0, rest.length - verb.length);
  return `${family}${name.replaceAll("/", "%2F")}${verb}${query}`;
}

/** Requests that may turn into a raw stream. Everything else that asks for an upgrade is answered as if it had not. */
export function mayUpgrade(method: string | undefined, url: string | undefined): boolean {
  return method === "POST" && /^(\/v[0-9.]+)?\/(containers\/[^/?]+\/attach|exec\/[^/?]+\/start)(\?|$)/.test(url ?? "");
}

import { fail } from "@gantry/contracts";

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?$/i;
const LOOPBACK = /^(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]|::1)$/i;

/** A name or address without its port, IPv6 without brackets; null for what is no host. */
export function hostOf(host: string | undefined): string | null {
  const name = HOST.exec(host ?? "")?.[1];
  return name === undefined ? null : name.replace(/[[\]]/g, "").toLowerCase();
}

export function isLoopbackHost(name: string): boolean {
  return LOOPBACK.test(name);
}

export interface BrowserHeaders {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
  readonly "sec-fetch-site"?: string | string[] | undefined;
  readonly "sec-fetch-mode"?: string | string[] | undefined;
}

/**
 * Keeps web pages of other sites out, which can send requests to any address and have names of their own point there: the `Host` must
 * be one that this server has, and a page's `Origin` the server's own. Tools send no `Origin`. Throws FORBIDDEN.
 */
export function checkBrowser(method: string, headers: BrowserHeaders, server: { readonly secure: boolean; serves(host: string): boolean }): void {
  const { host, origin } = headers;
  const name = hostOf(host);
  if (name === null || !server.serves(name)) throw fail("FORBIDDEN", `the Host header does not name this server${name === null ? "" : `: "${name.slice(0, 255)}" is not one of its names`}`);
  if (origin !== undefined && origin.toLowerCase() !== `${server.secure ? "https" : "http"}://${host!.toLowerCase()}`) throw fail("FORBIDDEN", "requests from web pages of other sites are refused");
  const site = headers["sec-fetch-site"];
  const followsLink = method === "GET" && headers["sec-fetch-mode"] === "navigate";
  if (site !== undefined && site !== "same-origin" && site !== "none" && !followsLink) throw fail("FORBIDDEN", "requests from web pages of other sites are refused");
}

export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly secure: boolean | null };

/**
 * `unix:/path`, `unix:///path`, `http://host:port`, `https://host:port`, and `host:port` or `tcp://host:port`, which leave open
 * whether it is TLS (`secure` null). Null for anything else.
 */
export function parseListen(text: string): ListenAddress | null {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text);
  if (unix !== null) return { kind: "unix", path: unix[1]! };
  const tcp = /^(?:(tcp|https?):\/\/)?(\[[0-9a-fA-F:]+\]|[^:[\]/]+):([0-9]{1,5})\/?$/.exec(text);
  if (tcp === null || Number(tcp[3]) > 65535) return null;
  const scheme = tcp[1];
  return { kind: "tcp", host: tcp[2]!.replace(/[[\]]/g, ""), port: Number(tcp[3]), secure: scheme === "https" ? true : scheme === "http" ? false : null };
}

import { fail } from "@gantry/contracts";

/** Where a service listens or is reached. `host` has no brackets. */
export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly secure: boolean; readonly host: string; readonly port: number };

export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|::1|\[::1\])$/i;
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/\s]+):([0-9]{1,5})$/;

/** Of a service: `unix:/path`, `http://host:port`, `https://host:port`. Throws INVALID. */
export function parseAddress(text: string): Address {
  const unix = unixPath(text);
  if (unix !== null) return { kind: "unix", path: unix };
  const match = /^(https?):\/\/(.+?)\/?$/.exec(text);
  const at = match === null ? null : hostAndPort(match[2]!);
  if (match === null || at === null || at.port === 0) throw fail("INVALID", `${JSON.stringify(text)} is no service address: give unix:/path or https://host:port (http:// on loopback)`);
  return { kind: "tcp", secure: match[1] === "https", ...at };
}

/** To listen on: `unix:/path`, `unix:///path`, `host:port`, `tcp://host:port`; port 0 is any free one. Throws INVALID. */
export function parseListenAddress(text: string): ListenAddress {
  const unix = unixPath(text);
  if (unix !== null) return { kind: "unix", path: unix };
  const at = hostAndPort(text.replace(/^tcp:\/\//, ""));
  if (at === null) throw fail("INVALID", `cannot listen on ${JSON.stringify(text)}: it must be unix:/path or host:port`);
  return { kind: "tcp", ...at };
}

/** The text of an address, as `parseAddress` reads it. */
export function formatAddress(address: Address): string {
  return address.kind === "unix" ? `unix:${address.path}` : `${address.secure ? "https" : "http"}://${hostPort(address.host, address.port)}`;
}

export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Whether a host, without a port, is this machine's loopback. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** Whether a `Host` header, with or without a port, names loopback: keeps out web pages that had a name of theirs resolve to it. */
export function isLoopbackHeader(header: string | undefined): boolean {
  return header !== undefined && LOOPBACK.test(header.replace(/:[0-9]{1,5}$/, ""));
}

/** Whether a host to listen on stands for every address of the machine, so that nobody can be told to reach it there. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "*";
}

function unixPath(text: string): string | null {
  return /^unix:(?:\/\/)?(\/[^\0]+)$/.exec(text)?.[1] ?? null;
}

function hostAndPort(text: string): { host: string; port: number } | null {
  const match = HOST_PORT.exec(text);
  if (match === null || Number(match[2]) > 65535) return null;
  return { host: match[1]!.replace(/[[\]]/g, ""), port: Number(match[2]) };
}

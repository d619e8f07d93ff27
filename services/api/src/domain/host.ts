const LOOPBACK = /^(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?$/i;

/** Whether a `Host` header names this machine itself: keeps web pages out that had their own name resolve to loopback. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && LOOPBACK.test(host);
}

/** Whether a request comes from a web page of another site (its `Origin`); tools send none. */
export function isForeignOrigin(origin: string | undefined): boolean {
  if (origin === undefined) return false;
  return !URL.canParse(origin) || !isLoopbackHost(new URL(origin).host);
}

export type ListenAddress = { readonly kind: "unix"; readonly path: string } | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** `unix:/path`, `unix:///path`, `host:port`, `tcp://host:port`; null for what is neither, or not on loopback. */
export function parseListen(text: string): ListenAddress | null {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text);
  if (unix !== null) return { kind: "unix", path: unix[1]! };
  const tcp = /^(?:tcp:\/\/)?(\[[0-9a-fA-F:]+\]|[^:[\]]+):([0-9]{1,5})$/.exec(text);
  if (tcp === null || Number(tcp[2]) > 65535 || !isLoopbackHost(tcp[1])) return null;
  return { kind: "tcp", host: tcp[1]!.replace(/[[\]]/g, ""), port: Number(tcp[2]) };
}

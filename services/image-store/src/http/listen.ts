import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { chmod, rm } from "node:fs/promises";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import { connect } from "node:net";

export interface ListenOptions {
  /** `unix:/path` or `host:port`. */
  readonly addresses: readonly string[];
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** True where callers must show a token on TCP. */
  readonly guarded: boolean;
}

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)$/;

/**
 * Serves one listener on several addresses; answers them as bound, with real port numbers. Off loopback it must be TLS and
 * guarded. A socket file that nobody serves any more is replaced; one that is served is CONFLICT.
 */
export async function listen(options: ListenOptions, listener: RequestListener, scope: AsyncDisposableStack): Promise<string[]> {
  const bound: string[] = [];
  for (const address of options.addresses) {
    const unix = address.startsWith("unix:") ? address.slice("unix:".length) : null;
    const { host, port } = unix === null ? hostAndPort(address) : { host: "", port: 0 };
    if (unix === null && !LOOPBACK.test(host) && (options.tls === null || !options.guarded)) {
      throw fail("INVALID", `listening on ${address} needs a TLS certificate and a token: it is not a loopback address`);
    }
    const server = unix === null && options.tls !== null ? createHttpsServer(options.tls, listener) : createHttpServer(listener);
    // Layers take as long as they take; headers do not.
    server.requestTimeout = 0;
    server.headersTimeout = 30_000;
    server.keepAliveTimeout = 75_000;
    if (unix !== null) await dropStaleSocket(unix);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      if (unix !== null) server.listen(unix, resolve); else server.listen(port, host.replace(/^\[|\]$/g, ""), resolve);
    });
    scope.defer(() => close(server));
    if (unix !== null) await chmod(unix, 0o600);
    const at = server.address();
    bound.push(unix !== null || at === null || typeof at === "string" ? address : `${host}:${at.port}`);
  }
  return bound;
}

export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host.replace(/:\d+$/, ""));
}

function hostAndPort(address: string): { host: string; port: number } {
  const match = /^(.*):(\d{1,5})$/.exec(address);
  if (match === null) throw fail("INVALID", `listen address ${JSON.stringify(address)} is neither unix:/path nor host:port`);
  return { host: match[1]!, port: Number(match[2]) };
}

async function dropStaleSocket(path: string): Promise<void> {
  const served = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => { socket.destroy(); resolve(true); });
    socket.once("error", (e) => resolve(errnoOf(e) !== "ENOENT" && errnoOf(e) !== "ECONNREFUSED"));
  });
  if (served) throw fail("CONFLICT", `${path} is served by another process`);
  await rm(path, { force: true });
}

/** Lets requests under way finish, for a while. */
async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), 5_000);
  await closed;
  clearTimeout(timer);
}

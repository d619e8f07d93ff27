import { constants } from "node:crypto";
import { createServer, type RequestListener, type Server, type ServerOptions, type ServerResponse, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { fail } from "@gantry/contracts";
import type { GantryError, Logger, Scope } from "@gantry/kernel";
import { formatAddress, isLoopback, isWildcard, parseAddress, parseListenAddress } from "./address.ts";
import { PROBE_MS } from "./connect.ts";
import { hostsOf, names } from "./certificate.ts";
import { contextOf, type Credentials, type Loaded } from "./credentials.ts";
import { refusal } from "./guard.ts";
import type { Allowed } from "./identity.ts";
import { errorAnswer } from "./error-body.ts";
import { refuseUpgrade } from "./upgrade.ts";
import { bind, bindSocketFile } from "./unix-socket.ts";

export interface ListenOptions {
  /** `unix:/path` (mode 0600) or `host:port`. */
  readonly addresses: readonly string[];
  /** With these, every `host:port` is TLS; without, only loopback can be listened on. */
  readonly credentials: Credentials | null;
  /** Whose certificates are taken over TLS for a path; METRICS_READER may read `/metrics` besides. */
  readonly allow: (path: string) => readonly Allowed[];
  /** Paths that the handler guards itself: with these, connections without a certificate are taken too. */
  readonly open?: (path: string) => boolean;
  readonly logger: Logger;
  /** How long requests under way may go on when the scope ends. */
  readonly graceMs?: number;
}

export interface Handlers {
  readonly request: RequestListener;
  /** Requests with `Upgrade`: without this they are like others. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** Layers and logs take as long as they take; heads do not. Longer than clients keep connections (client.ts). */
const OPTIONS: ServerOptions = { requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 75_000, noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_MS };
const HANDSHAKE_MS = 10_000;
/** Who scrapes metrics. */
const METRICS_READER: Allowed = "service/prometheus";
/** How much longer the rest of a refused request is read, so that its sender gets to see the answer. */
const LINGER_MS = 2_000;

/**
 * Serves internal HTTP, and answers the addresses as others write them: `unix:/path`, `http(s)://host:port` with the real port.
 * Throws INVALID for an address off loopback without credentials, CONFLICT where another server has it.
 */
export async function listen(options: ListenOptions, handlers: Handlers, scope: Scope): Promise<string[]> {
  const bound: string[] = [];
  for (const text of options.addresses) {
    const address = parseListenAddress(text);
    const secure = address.kind === "tcp" && options.credentials !== null;
    if (address.kind === "tcp" && !secure && !isLoopback(address.host)) {
      throw fail("INVALID", `listening on ${text}, which is not loopback, needs certificates: set GANTRY_TLS_CA, GANTRY_TLS_CERT and GANTRY_TLS_KEY (gantry certs issue)`);
    }
    if (address.kind === "tcp" && !secure) options.logger.warn({ listen: text }, "in the clear: every user of this host may ask here; unix:/path is for its owner alone");
    const server = secure ? await secureServer(options, options.credentials!, scope) : createServer(OPTIONS);
    attach(server, options, handlers);
    const end = closer(server, options.graceMs ?? 0);
    server.on("error", (error) => options.logger.error({ err: error, listen: text }, "a listener failed"));
    if (address.kind === "unix") {
      const remove = await bindSocketFile(server, { path: address.path, mode: 0o600, gid: null });
      scope.defer(async () => { await remove(); await end(); });
      bound.push(formatAddress(address));
    } else {
      await bind(server, { host: address.host, port: address.port });
      scope.defer(end);
      bound.push(formatAddress({ ...address, secure, port: (server.address() as AddressInfo).port }));
    }
  }
  return bound;
}

/**
 * What others are told to reach a listener at: `configured`, or the address it is bound to where that is empty. Throws INVALID
 * where they could not: no one address, or one that our own certificate does not name.
 */
export function advertised(bound: string, configured: string, credentials: Credentials | null): string {
  const address = parseAddress(configured === "" ? bound : configured);
  const text = formatAddress(address);
  if (address.kind === "unix") return text;
  if (isWildcard(address.host)) throw fail("INVALID", `${bound} is every address of this machine: say at which one others reach it`);
  if (!address.secure || credentials === null) return text;
  const { certificate } = credentials.loaded;
  if (!names(certificate, address.host)) {
    throw fail("INVALID", `others could not trust ${text}: the certificate in ${credentials.files.cert} is for ${hostsOf(certificate).join(", ") || "no host"} (gantry certs issue --host ${address.host})`);
  }
  return text;
}

async function secureServer({ open, logger }: ListenOptions, credentials: Credentials, scope: Scope): Promise<Server> {
  const https = await import("node:https");
  // No connection rests on what an earlier one was verified by.
  const context = (loaded: Loaded) => ({ ...contextOf(loaded), secureOptions: constants.SSL_OP_NO_TICKET });
  const server = https.createServer({
    ...OPTIONS, ...context(credentials.loaded), requestCert: true, rejectUnauthorized: open === undefined, handshakeTimeout: HANDSHAKE_MS,
    // As plain sockets have it: a raw stream's input may end before its output.
    allowHalfOpen: true,
  });
  scope.use(credentials.follow((loaded) => server.setSecureContext(context(loaded))));
  server.on("tlsClientError", (error, socket: TLSSocket) => {
    logger.warn({ reason: String(socket.authorizationError ?? error.message), from: socket.remoteAddress ?? null }, "a TLS connection was refused");
  });
  return server as unknown as Server;
}

function attach(server: Server, { allow, open, logger }: ListenOptions, handlers: Handlers): void {
  const refused = (request: IncomingMessage): GantryError | null => {
    const path = pathOf(request);
    if (open?.(path) === true) return null;
    const error = refusal(request, path === "/metrics" ? [...allow(path), METRICS_READER] : allow(path));
    if (error !== null) logger.warn({ method: request.method, path, from: request.socket.remoteAddress }, `refused: ${error.message}`);
    return error;
  };
  server.on("request", (request, response) => {
    const error = refused(request);
    if (error === null) handlers.request(request, response);
    else refuse(request, response, error);
  });
  const { upgrade } = handlers;
  if (upgrade === undefined) return;
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const error = refused(request);
    if (error === null) upgrade(request, socket, head);
    else refuseUpgrade(socket, error);
  });
}

function refuse(request: IncomingMessage, response: ServerResponse, error: GantryError): void {
  const { status, body } = errorAnswer(error);
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text), connection: "close" });
  response.write(text);
  if (request.complete) {
    response.end();
    return;
  }
  const timer = setTimeout(() => response.destroy(), LINGER_MS);
  timer.unref();
  request.resume().once("close", () => { clearTimeout(timer); response.end(); });
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0]!;
}

/** Ends a server: requests under way get the grace, then every connection is cut, raw streams too. */
function closer(server: Server, graceMs: number): () => Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const cut = (): void => { for (const socket of sockets) socket.destroy(); };
  return async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    if (graceMs === 0) cut();
    const timer = setTimeout(cut, graceMs);
    await closed;
    clearTimeout(timer);
  };
}

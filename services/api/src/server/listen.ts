import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { readFile } from "node:fs/promises";
import { fail } from "@gantry/contracts";
import { bind, bindSocketFile } from "@gantry/http";
import { describeError, errnoOf, type Logger } from "@gantry/kernel";
import type { FastifyInstance } from "fastify";
import { isLoopbackHost, parseListen } from "../domain/host.ts";
import { mayUpgrade } from "../domain/path.ts";
import { upgrades } from "../http/exchange.ts";
import { setPeer, type TcpPeer } from "./peer.ts";
import type { ServerTls } from "./tls.ts";

const MAX_HEADER_BYTES = 1024 * 1024;
const CLOSE_GRACE_MS = 500;
/** Of one TCP listener. */
const MAX_CONNECTIONS = 8_192;

export interface ListenOptions {
  readonly logger: Logger;
  /** For TCP addresses; without it they are plain HTTP, on loopback only. */
  readonly tls: ServerTls | null;
  /** Names of the server beside those of its certificate, its addresses and loopback's. */
  readonly names: readonly string[];
}

export interface Listener extends AsyncDisposable {
  /** `unix:/path`, `http://host:port`, `https://host:port`. */
  readonly address: string;
}

/**
 * Listens on `unix:/path` (mode 0660, group docker where there is one) or on TCP (host.ts), and answers with the routes of `app`, raw
 * streams included. Plain HTTP is for loopback only. Throws CONFLICT where another server has the address, INVALID where it cannot be.
 */
export async function listen(text: string, app: FastifyInstance, options: ListenOptions): Promise<Listener> {
  const { logger, tls } = options;
  const address = parseListen(text);
  if (address === null) throw fail("INVALID", `cannot listen on ${text}: it must be unix:/path, host:port, http://host:port or https://host:port`);
  const secure = address.kind === "tcp" && (address.secure ?? tls !== null);
  if (secure && tls === null) throw fail("INVALID", `cannot listen on ${text} without a certificate: set GANTRY_API_TLS_CERT and GANTRY_API_TLS_KEY`);
  if (address.kind === "tcp" && !secure && !isLoopbackHost(address.host)) {
    throw fail("INVALID", `cannot listen on ${text} in the clear: ${address.host} is not on loopback. Set GANTRY_API_TLS_CERT and GANTRY_API_TLS_KEY, and GANTRY_API_TLS_CLIENT_CA for client certificates`);
  }
  const server = secure ? https.createServer({ ...HTTP, ...tls!.options(), ...HALF_OPEN }, app.routing) : http.createServer(HTTP, app.routing);
  takeRequests(server, app);
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on(secure ? "secureConnection" : "connection", (socket: net.Socket) => {
    setPeer(socket, address.kind === "unix" ? { kind: "unix" } : tcpPeer(socket, secure ? tls : null, options.names));
  });
  let release = async () => {};
  let bound = `unix:${address.kind === "unix" ? address.path : ""}`;
  if (address.kind === "unix") {
    release = await bindSocketFile(server, { path: address.path, mode: 0o660, gid: process.getuid?.() === 0 ? await dockerGroup() : null });
  } else {
    server.maxConnections = MAX_CONNECTIONS;
    await bind(server, { host: address.host, port: address.port }).catch((cause: unknown) => { throw unusable(text, cause); });
    const { address: host, port } = server.address() as net.AddressInfo;
    if (!secure && !isLoopbackHost(host)) {
      server.close();
      throw fail("INVALID", `cannot listen on ${text} in the clear: it is ${host}, which is not on loopback`);
    }
    bound = `${secure ? "https" : "http"}://${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  }
  if (secure) tls!.follow(server as https.Server);
  server.on("error", (error) => logger.error({ error: String(error), listen: text }, "listener failed"));
  return {
    address: bound,
    async [Symbol.asyncDispose]() {
      await release();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => { for (const socket of sockets) socket.destroy(); }, CLOSE_GRACE_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

const HTTP: http.ServerOptions = {
  keepAliveTimeout: 120_000,
  headersTimeout: 30_000,
  // Contexts and archives take as long as they take.
  requestTimeout: 0,
  maxHeaderSize: MAX_HEADER_BYTES,
  noDelay: true,
  shouldUpgradeCallback: (request) => mayUpgrade(request.method, request.url),
};

/** An input that ends does not end the output: node:http's servers do so by themselves, node:https's when told (node:net's option). */
const HALF_OPEN: net.ServerOpts = { allowHalfOpen: true };

function takeRequests(server: http.Server | https.Server, app: FastifyInstance): void {
  server.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new http.ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as net.Socket);
    socket.on("error", () => socket.destroy());
    response.once("finish", () => socket.end());
    // At once: a client may have ended its side already.
    if (head.length > 0) socket.unshift(head);
    upgrades.set(request, socket);
    app.routing(request, response);
  });
  server.on("clientError", (error: Error, socket: Duplex) => {
    // What is no HTTP is answered; a handshake that fails and a connection that breaks are not.
    if (socket.writable && errnoOf(error)?.startsWith("HPE_") === true) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
}

function tcpPeer(socket: net.Socket, tls: ServerTls | null, names: readonly string[]): TcpPeer {
  const own = plainAddress(socket.localAddress);
  return {
    kind: "tcp", address: plainAddress(socket.remoteAddress), port: socket.localPort ?? 0, secure: tls !== null,
    certificate: tls === null ? null : tls.login(socket as TLSSocket),
    serves: (host) => isLoopbackHost(host) || host === own || names.includes(host) || tls?.serves(host) === true,
  };
}

/** IPv4 as such also where it comes to a socket of both families. */
function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function unusable(text: string, cause: unknown): Error {
  if (errnoOf(cause) === "EADDRINUSE") return fail("CONFLICT", `another server is listening on ${text}`, { cause });
  return fail("INVALID", `cannot listen on ${text}: ${describeError(cause)}`, { cause });
}

async function dockerGroup(): Promise<number | null> {
  const text = await readFile("/etc/group", "utf8").catch(() => "");
  const line = /^docker:[^:]*:([0-9]+):/m.exec(text);
  return line === null ? null : Number(line[1]);
}

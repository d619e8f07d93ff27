import http from "node:http";
import net from "node:net";
import { chmod, chown, lstat, readFile, rename, unlink } from "node:fs/promises";
import { fail } from "@gantry/contracts";
import { errnoOf, type Logger } from "@gantry/kernel";
import type { FastifyInstance } from "fastify";
import { parseListen } from "../domain/host.ts";
import { mayUpgrade } from "../domain/path.ts";
import { upgrades } from "../http/exchange.ts";

const MAX_HEADER_BYTES = 1024 * 1024;
const CLOSE_GRACE_MS = 500;

/**
 * Listens on `unix:/path` (mode 0660, group docker where there is one) or on loopback `host:port`, and answers with the
 * routes of `app`, raw streams included. Throws CONFLICT where another live server has the socket.
 */
export async function listen(text: string, app: FastifyInstance, logger: Logger): Promise<AsyncDisposable & { readonly address: string }> {
  const address = parseListen(text);
  if (address === null) throw fail("INVALID", `cannot listen on ${text}: it must be unix:/path or host:port with a loopback host`);
  const server = createServer(app);
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  let release = async () => {};
  let bound = text;
  if (address.kind === "unix") {
    release = await listenUnix(server, address.path);
    bound = `unix:${address.path}`;
  } else {
    await listening(server, { host: address.host, port: address.port });
    const actual = server.address() as net.AddressInfo;
    bound = actual.family === "IPv6" ? `[${actual.address}]:${actual.port}` : `${actual.address}:${actual.port}`;
  }
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

function createServer(app: FastifyInstance): http.Server {
  const server = http.createServer({
    keepAliveTimeout: 120_000,
    headersTimeout: 30_000,
    // Contexts and archives take as long as they take.
    requestTimeout: 0,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
    shouldUpgradeCallback: (request) => mayUpgrade(request.method, request.url),
  }, app.routing);
  server.on("upgrade", (request, socket, head) => {
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
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end(`HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n`);
    else socket.destroy();
  });
  return server;
}

function listening(server: http.Server, options: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => { server.off("error", reject); resolve(); });
  });
}

/** Bound under another name first, so that the socket never stands there with the wrong mode. Returns how to remove it. */
async function listenUnix(server: http.Server, path: string): Promise<() => Promise<void>> {
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isSocket()) throw fail("CONFLICT", `${path} exists and is not a socket`);
  if (there !== null && await isAlive(path)) throw fail("CONFLICT", `another server is listening on unix:${path}`);
  const temporary = `${path}.${process.pid}`;
  await unlinkIfThere(temporary);
  await listening(server, { path: temporary });
  try {
    await chmod(temporary, 0o660);
    const group = await dockerGroup();
    if (group !== null && process.getuid?.() === 0) await chown(temporary, 0, group);
    await rename(temporary, path);
  } catch (error) {
    await new Promise((resolve) => server.close(resolve));
    throw error;
  }
  const { ino } = await lstat(path);
  return async () => {
    const now = await lstat(path).catch(() => null);
    if (now?.ino === ino) await unlinkIfThere(path);
  };
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = net.connect({ path });
    probe.once("connect", () => { probe.destroy(); resolve(true); });
    probe.once("error", (error) => {
      const code = errnoOf(error);
      if (code === "ENOENT" || code === "ECONNREFUSED") resolve(false);
      else reject(fail("CONFLICT", `cannot use ${path} as a socket: ${error.message}`, { cause: error }));
    });
  });
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => { if (errnoOf(error) !== "ENOENT") throw error; });
}

async function dockerGroup(): Promise<number | null> {
  const text = await readFile("/etc/group", "utf8").catch(() => "");
  const line = /^docker:[^:]*:([0-9]+):/m.exec(text);
  return line === null ? null : Number(line[1]);
}

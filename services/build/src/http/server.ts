import { chmod, rm } from "node:fs/promises";
import { createHash, timingSafeEqual } from "node:crypto";
import { connect } from "node:net";
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { fail, statusOf } from "@gantry/contracts";
import { describeError, errnoOf, isGantryError, type Logger } from "@gantry/kernel";
import { observeApp } from "@gantry/telemetry/http";

export interface ServerOptions {
  readonly logger: Logger;
  /** `unix:/path` or `host:port`. Off loopback it needs TLS and a token. */
  readonly listen: string;
  /** What callers on TCP must show as a bearer token; empty: none. */
  readonly token: string;
  readonly tls: { readonly cert: string; readonly key: string } | null;
}

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/;

/** The service's HTTP server, without routes. Errors are `{message, code}` with the status of the code. */
export function createServer({ logger, listen, token, tls }: ServerOptions): FastifyInstance {
  const unix = listen.startsWith("unix:");
  if (!unix && !LOOPBACK.test(listen) && (tls === null || token === "")) {
    throw fail("INVALID", `listening on ${listen} needs a TLS certificate and a token: it is not a loopback address`);
  }
  const options = { logger: false, bodyLimit: 1024 * 1024, requestTimeout: 0, forceCloseConnections: true } as const;
  const app = (unix || tls === null ? Fastify(options) : Fastify({ ...options, https: { ...tls } })) as unknown as FastifyInstance;
  observeApp(app, "build");
  app.addHook("onRequest", async (request) => authorize(request, token));
  app.setErrorHandler((error, request, reply) => {
    const known = isGantryError(error);
    const own = (error as { statusCode?: unknown }).statusCode;
    const status = known ? statusOf(error) : typeof own === "number" && own < 500 ? own : 500;
    if (status >= 500) logger.error({ err: error, url: request.url }, `request failed: ${describeError(error)}`);
    return reply.code(status).send({ message: (error as Error).message, code: known ? error.code : status < 500 ? "INVALID" : "INTERNAL" });
  });
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ message: `page not found: ${request.method} ${request.url.slice(0, 200)}`, code: "NOT_FOUND" }));
  return app;
}

/** Listens, and answers the address as bound. CONFLICT where another process serves it. */
export async function listenOn(app: FastifyInstance, listen: string, tls: boolean): Promise<string> {
  if (listen.startsWith("unix:")) {
    const path = listen.slice("unix:".length);
    if (await isServed(path)) throw fail("CONFLICT", `${path} is served by another process`);
    await rm(path, { force: true });
    await app.listen({ path });
    await chmod(path, 0o600);
    return listen;
  }
  const at = listen.lastIndexOf(":");
  const host = listen.slice(0, at);
  await app.listen({ host: host.replace(/^\[|\]$/g, ""), port: Number(listen.slice(at + 1)) });
  const address = app.server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return `${tls ? "https" : "http"}://${host}:${address.port}`;
}

/** A unix socket is guarded by its mode. On TCP without a token the Host header must be loopback's, against rebinding of names. */
function authorize(request: FastifyRequest, token: string): void {
  if (request.socket.remoteAddress === undefined) return;
  if (token === "") {
    if (!LOOPBACK.test(request.headers.host ?? "")) throw fail("FORBIDDEN", "the Host header is not that of a loopback address");
    return;
  }
  const [scheme, shown] = (request.headers.authorization ?? "").split(" ", 2);
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (scheme?.toLowerCase() !== "bearer" || shown === undefined || !timingSafeEqual(digest(shown), digest(token))) {
    throw fail("UNAUTHORIZED", "authentication required");
  }
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => { socket.destroy(); resolve(true); });
    socket.once("error", (e) => resolve(errnoOf(e) !== "ENOENT" && errnoOf(e) !== "ECONNREFUSED"));
  });
}

import { createHash, timingSafeEqual } from "node:crypto";
import { fail, statusOf } from "@gantry/contracts";
import { describeError, isGantryError, type Logger } from "@gantry/kernel";
import { observeApp } from "@gantry/telemetry/http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { isLoopbackHost } from "./listen.ts";

export type App = FastifyInstance;

/**
 * The HTTP application: no body is parsed (handlers read `request.raw`), errors are `{message, code}` with the status of the code,
 * and callers on TCP show the token where there is one.
 */
export function createApp(options: { logger: Logger; token: string | null }): App {
  const app = Fastify({ logger: false, bodyLimit: Number.MAX_SAFE_INTEGER, exposeHeadRoutes: false, routerOptions: { maxParamLength: 4096 } });
  observeApp(app, "image-store");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  app.addHook("onRequest", async (request, reply) => authorize(request, reply, options.token));
  app.setErrorHandler((error, request, reply) => sendError(options.logger, error, request, reply));
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ message: `page not found: ${request.method} ${request.url.slice(0, 200)}`, code: "NOT_FOUND" }));
  return app;
}

function sendError(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = isGantryError(error);
  const fastifyStatus = (error as { statusCode?: unknown }).statusCode;
  const status = known ? statusOf(error) : typeof fastifyStatus === "number" && fastifyStatus < 500 ? fastifyStatus : 500;
  if (status >= 500) logger.error({ err: error, method: request.method, url: request.url }, `request failed: ${describeError(error)}`);
  if (reply.sent || reply.raw.headersSent) {
    reply.raw.destroy();
    return;
  }
  void reply.code(status).send({ message: (error as Error).message, code: known ? error.code : status < 500 ? "INVALID" : "INTERNAL" });
}

/** A unix socket is guarded by its mode. On TCP without a token, the Host header must be loopback's, against rebinding of names. */
function authorize(request: FastifyRequest, reply: FastifyReply, token: string | null): void {
  if (request.socket.remoteAddress === undefined) return;
  if (token === null) {
    if (!isLoopbackHost(request.headers.host ?? "")) throw fail("FORBIDDEN", "the Host header is not that of a loopback address");
    return;
  }
  if (shownToken(request.headers.authorization ?? "").some((shown) => sameText(shown, token))) return;
  void reply.header("www-authenticate", 'Basic realm="gantry"');
  throw fail("UNAUTHORIZED", "authentication required");
}

/** `Bearer <token>`, or `Basic` with the token as the password, which is what `docker login` sends. */
function shownToken(header: string): string[] {
  const [scheme, value] = header.split(" ", 2);
  if (value === undefined) return [];
  if (scheme!.toLowerCase() === "bearer") return [value];
  if (scheme!.toLowerCase() !== "basic") return [];
  const text = Buffer.from(value, "base64").toString("utf8");
  return [text.slice(text.indexOf(":") + 1)];
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** A query parameter given once or not at all. Throws INVALID. */
export function queryText(request: FastifyRequest, name: string): string | null {
  const value = (request.query as Record<string, string | string[] | undefined>)[name];
  if (Array.isArray(value)) throw fail("INVALID", `query parameter ${name} is given more than once`);
  return value ?? null;
}

export function queryTexts(request: FastifyRequest, name: string): string[] {
  const value = (request.query as Record<string, string | string[] | undefined>)[name];
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** Docker's booleans: absent, empty, `0`, `no`, `false`, `none` are false. */
export function queryFlag(request: FastifyRequest, name: string): boolean {
  const value = (queryText(request, name) ?? "").trim().toLowerCase();
  return !["", "0", "no", "false", "none"].includes(value);
}

import { createHash, timingSafeEqual } from "node:crypto";
import { fail } from "@gantry/contracts";
import { callerOf } from "@gantry/http";
import { createApp } from "@gantry/http/app";
import type { Logger } from "@gantry/kernel";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

export type App = FastifyInstance;

/**
 * The HTTP application: no body is parsed (handlers read `request.raw`), and callers on TCP show the token where there is one, or a
 * certificate, which `listen` has checked.
 */
export function createImageStoreApp(options: { logger: Logger; token: string | null }): App {
  const app = createApp("image-store", options.logger, { bodyLimit: Number.MAX_SAFE_INTEGER, routerOptions: { maxParamLength: 4096 } });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  app.addHook("onRequest", async (request, reply) => authorize(request, reply, options.token));
  return app;
}

/** The routes for docker, skopeo, podman and other clients of a registry. */
export function isRegistryPath(path: string): boolean {
  return path === "/v2" || path.startsWith("/v2/");
}

/** The routes that move blobs, which are named by their digests. */
export function isBlobPath(path: string): boolean {
  return path === "/v1/blobs" || path.startsWith("/v1/blobs/");
}

function authorize(request: FastifyRequest, reply: FastifyReply, token: string | null): void {
  if (token === null || request.socket.remoteAddress === undefined || callerOf(request.socket) !== null) return;
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

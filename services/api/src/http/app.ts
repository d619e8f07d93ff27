import http from "node:http";
import { statusOf } from "@gantry/contracts";
import { describeError, type GantryError, isGantryError, type Logger } from "@gantry/kernel";
import { observeRequest } from "@gantry/telemetry/http";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Guard } from "../auth/guard.ts";
import { routedUrl, versionOf } from "../domain/path.ts";
import { API_VERSION, negotiate } from "../domain/version.ts";
import { enter } from "./entrance.ts";
import { Exchange, type Route } from "./exchange.ts";
import { needOf } from "./roles.ts";
import { recordRoutes } from "./route-keys.ts";
import { traceOfCreation } from "./run-trace.ts";
import { isV1 } from "./v1/mount.ts";
import { problemOf, PROBLEM_TYPE } from "./v1/problem.ts";

const MAX_PARAM = 4096;
/** How long a client that is refused may go on sending. */
const LINGER_MS = 2_000;

export interface AppOptions {
  readonly serverHeader: string;
  readonly logger: Logger;
  readonly guard: Pick<Guard, "checkOrigin" | "identify" | "authorize" | "openSession">;
  /** Adds what is no route of Docker's. */
  readonly mount?: (app: FastifyInstance) => void;
}

/** The routes with what holds for each of them: who may, versions, headers, errors, one span and one log line a request. */
export async function createApp(routes: readonly Route[], options: AppOptions): Promise<FastifyInstance> {
  const { logger, guard } = options;
  const headers = { Server: options.serverHeader, "Api-Version": API_VERSION, Ostype: "linux", "Docker-Experimental": "false" };
  const app = fastify({
    logger: false,
    rewriteUrl: (request) => routedUrl(request.method ?? "GET", request.url ?? "/"),
    routerOptions: { maxParamLength: MAX_PARAM, querystringParser: (text) => new URLSearchParams(text) as unknown as Record<string, string> },
    exposeHeadRoutes: false,
    // The servers that listen are made by server/listen.ts and share this routing.
    serverFactory: () => http.createServer(),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null, undefined));

  recordRoutes(app);
  /** At once where it can be, as on the unix socket. */
  const admit = (request: FastifyRequest, reply: FastifyReply): void | Promise<void> => {
    const { url, config } = request.routeOptions;
    guard.checkOrigin(request.raw);
    if (request.method === "GET" && url === "/") return enter(guard, request, reply);
    // What is no route of these (unknown, or handed on, as to /v1, which looks at its own) asks for a login of any role.
    const need = url === undefined || config.handedOn === true ? "viewer" : needOf(request.method, url) ?? "admin";
    if (need === "public") return;
    const admitted = (): void => {
      guard.authorize(request.raw, need);
      reply.headers(headers);
      negotiate(versionOf(request.originalUrl));
    };
    const identity = guard.identify(request.raw, reply.raw);
    return identity instanceof Promise ? identity.then(admitted) : admitted();
  };
  app.addHook("onRequest", (request, reply, done) => {
    observe(request, reply, logger, () => {
      try {
        const admission = admit(request, reply);
        // What was answered goes no further.
        if (admission instanceof Promise) admission.then(() => { if (!reply.sent) done(); }, done);
        else done();
      } catch (e) {
        done(e as Error);
      }
    });
  });
  app.setNotFoundHandler((_request, reply) => sendError(reply, 404, "page not found"));
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, logger));

  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path,
      handler: async (request, reply) => {
        await route.handle(new Exchange(request, reply, versionOf(request.originalUrl) ?? API_VERSION));
        return reply;
      },
    });
  }
  options.mount?.(app);
  await app.ready();
  return app;
}

function observe(request: FastifyRequest, reply: FastifyReply, logger: Logger, next: () => void): void {
  const { method, originalUrl } = request;
  const route = request.routeOptions.url;
  const creation = traceOfCreation(route, request.params);
  observeRequest({
    service: "api", route, request: request.raw, response: reply.raw, attributes: { "url.path": originalUrl.split("?")[0]! },
    ...(creation === undefined ? {} : { parent: creation }),
    onEnd: (status, ms) => logger.debug({ method, url: loggedUrl(request), status, ms: Math.round(ms * 10) / 10 }, "request"),
  }, next);
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  const own = (error as { statusCode?: unknown }).statusCode;
  const status = isGantryError(error) ? statusOf(error) : typeof own === "number" && own >= 400 ? own : 500;
  if (reply.raw.destroyed) {
    logger.debug({ method: request.method, url: loggedUrl(request), error: describeError(error) }, "the client went away");
  } else if (status >= 500 && status !== 501) {
    logger.warn({ method: request.method, url: loggedUrl(request), status, error: describeError(error), ...(isGantryError(error) ? {} : { stack: (error as Error).stack }) }, "request failed");
  }
  if (isGantryError(error)) loginHeaders(error, request, reply);
  if (isV1(request.originalUrl)) {
    const document = problemOf(error, request.originalUrl.split("?")[0]!);
    return reply.code(document.status).header("content-type", PROBLEM_TYPE).send(Buffer.from(JSON.stringify(document)));
  }
  if (status === 304) return reply.code(304).send();
  return sendError(reply, status, error instanceof Error ? error.message : String(error));
}

/** What a client needs to know to be let in. The body that it still sends is thrown away for a while: cut at once, it would not see the answer. */
function loginHeaders({ details }: GantryError, request: FastifyRequest, reply: FastifyReply): void {
  const { challenge, role, retryAfterMs } = details;
  if (typeof challenge === "string") reply.header("www-authenticate", challenge);
  else if (typeof role === "string") reply.header("www-authenticate", `Bearer error="insufficient_scope", scope="${role}"`);
  else if (typeof retryAfterMs === "number") reply.header("retry-after", String(Math.ceil(retryAfterMs / 1000)));
  else return;
  const { raw } = request;
  reply.raw.once("finish", () => setTimeout(() => { if (!raw.complete) raw.socket.destroy(); }, LINGER_MS).unref());
}

/** Without a token that may be in it. */
function loggedUrl(request: FastifyRequest): string {
  return request.originalUrl.replace(/([?&]token=)[^&]*/gi, "$1…");
}

function sendError(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).header("content-type", "application/json").send(Buffer.from(`${JSON.stringify({ message })}\n`));
}

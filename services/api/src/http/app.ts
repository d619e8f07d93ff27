import http from "node:http";
import { fail, statusOf } from "@gantry/contracts";
import { describeError, isGantryError, type Logger } from "@gantry/kernel";
import { observeRequest } from "@gantry/telemetry/http";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { isForeignOrigin, isLoopbackHost } from "../domain/host.ts";
import { routedUrl, versionOf } from "../domain/path.ts";
import { API_VERSION, negotiate } from "../domain/version.ts";
import { Exchange, type Route } from "./exchange.ts";
import { traceOfCreation } from "./run-trace.ts";
import { isV1 } from "./v1/mount.ts";
import { problemOf, PROBLEM_TYPE } from "./v1/problem.ts";

const MAX_PARAM = 4096;

export interface AppOptions {
  readonly serverHeader: string;
  readonly logger: Logger;
  /** Adds what is no route of Docker's. */
  readonly mount?: (app: FastifyInstance) => void;
}

/** The routes with what holds for each of them: versions, headers, errors, one span and one log line a request. */
export async function createApp(routes: readonly Route[], options: AppOptions): Promise<FastifyInstance> {
  const { logger } = options;
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

  app.addHook("onRequest", (request, reply, done) => {
    observe(request, reply, logger, () => {
      try {
        reply.headers({ Server: options.serverHeader, "Api-Version": API_VERSION, Ostype: "linux", "Docker-Experimental": "false" });
        checkOrigin(request);
        negotiate(versionOf(request.originalUrl));
        done();
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

/** On TCP: keeps web pages out, which can send requests to loopback and have names of their own point there. */
function checkOrigin(request: FastifyRequest): void {
  if (request.socket.remoteAddress === undefined) return;
  if (!isLoopbackHost(request.headers.host)) throw fail("FORBIDDEN", "the Host header does not name this machine's loopback address");
  if (isForeignOrigin(request.headers.origin)) throw fail("FORBIDDEN", "requests from web pages of other sites are refused");
}

function observe(request: FastifyRequest, reply: FastifyReply, logger: Logger, next: () => void): void {
  const { method, originalUrl } = request;
  const route = request.routeOptions.url;
  const creation = traceOfCreation(route, request.params);
  observeRequest({
    service: "api", route, request: request.raw, response: reply.raw, attributes: { "url.path": originalUrl.split("?")[0]! },
    ...(creation === undefined ? {} : { parent: creation }),
    onEnd: (status, ms) => logger.debug({ method, url: originalUrl, status, ms: Math.round(ms * 10) / 10 }, "request"),
  }, next);
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  const own = (error as { statusCode?: unknown }).statusCode;
  const status = isGantryError(error) ? statusOf(error) : typeof own === "number" && own >= 400 ? own : 500;
  if (reply.raw.destroyed) {
    logger.debug({ method: request.method, url: request.originalUrl, error: describeError(error) }, "the client went away");
  } else if (status >= 500 && status !== 501) {
    logger.warn({ method: request.method, url: request.originalUrl, status, error: describeError(error), ...(isGantryError(error) ? {} : { stack: (error as Error).stack }) }, "request failed");
  }
  if (isV1(request.originalUrl)) {
    const document = problemOf(error, request.originalUrl.split("?")[0]!);
    return reply.code(document.status).header("content-type", PROBLEM_TYPE).send(Buffer.from(JSON.stringify(document)));
  }
  if (status === 304) return reply.code(304).send();
  return sendError(reply, status, error instanceof Error ? error.message : String(error));
}

function sendError(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).header("content-type", "application/json").send(Buffer.from(`${JSON.stringify({ message })}\n`));
}

import type { Server } from "node:http";
import { describeError, type Logger } from "@gantry/kernel";
import { observeApp, type ServedRequest } from "@gantry/telemetry/http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from "fastify";
import { errorAnswer } from "./error-body.ts";

/**
 * The routes of an internal HTTP server, with `/metrics` only: after `ready()`, `app.routing` is what `listen` is given. Requests are
 * traced and measured; errors are `{message, code}` with the status of the code.
 */
export function createApp(service: ServedRequest["service"], logger: Logger, options: FastifyServerOptions<Server> = {}): FastifyInstance {
  const app = Fastify({ logger: false, exposeHeadRoutes: false, ...options });
  observeApp(app, service);
  app.setErrorHandler((error, request, reply) => sendError(logger, error, request, reply));
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ message: `page not found: ${request.method} ${request.url.slice(0, 200)}`, code: "NOT_FOUND" }));
  return app;
}

function sendError(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body } = errorAnswer(error);
  if (status >= 500) logger.error({ err: error, method: request.method, url: request.url }, `request failed: ${describeError(error)}`);
  if (reply.sent || reply.raw.headersSent) {
    reply.raw.destroy();
    return;
  }
  void reply.code(status).send(body);
}

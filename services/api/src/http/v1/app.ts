import http from "node:http";
import { fail } from "@gantry/contracts";
import { validatorOf } from "@gantry/contracts/validate";
import { describeError, type Logger } from "@gantry/kernel";
import { nameRoute } from "@gantry/telemetry/http";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import { Convert, Default } from "typebox/value";
import type { Backend } from "../../backend.ts";
import { Build, BuildDetail } from "../../domain/build-view.ts";
import { problem, PROBLEM_TYPE, problemOf, Problem } from "./problem.ts";
import { requiredRole } from "../roles.ts";
import { recordRoutes } from "../route-keys.ts";
import { v1Families } from "./routes.ts";
import type { V1App } from "./types.ts";

const MAX_JSON_BYTES = 4 * 1024 * 1024;
const MAX_PARAM = 4096;

/**
 * The routes under /v1 and their documentation (OpenAPI 3.1 at /docs/json, a page at /docs), for requests that have passed the hooks
 * of the whole API. Loaded with the first of them.
 */
export async function createV1(backend: Backend, version: string): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_JSON_BYTES,
    routerOptions: { maxParamLength: MAX_PARAM },
    exposeHeadRoutes: false,
    // Never listens: server/listen.ts does, for all.
    serverFactory: () => http.createServer(),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, backend.logger));
  app.setNotFoundHandler((request, reply) => sendProblem(reply, problem("NOT_FOUND", 404, `there is no ${request.method} ${pathOf(request)}`, pathOf(request))));
  recordRoutes(app);
  app.addHook("onRequest", async (request, reply) => {
    const { url } = request.routeOptions;
    if (url !== undefined) backend.guard.authorize(request.raw, requiredRole(request.method, url));
    reply.header("server", `Gantry/${version}`);
    const route = request.routeOptions.url;
    if (route !== undefined) nameRoute(request.raw, route);
  });
  for (const schema of [Problem, Build, BuildDetail]) app.addSchema(schema);
  await documented(app, version);
  await app.register(async (scope) => {
    // Each in a scope of its own: what a family takes as bodies is its own affair.
    for (const family of v1Families) await scope.register(async (own) => family(own.withTypeProvider() as V1App, backend));
  });
  await app.ready();
  return app;
}

async function documented(app: FastifyInstance, version: string): Promise<void> {
  const [{ default: swagger }, { default: swaggerUi }] = await Promise.all([import("@fastify/swagger"), import("@fastify/swagger-ui")]);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Gantry", version,
        description: "Build jobs, tokens, nodes and events. Errors are problem documents (RFC 9457). The Docker Engine API is served beside it.",
      },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer", description: "of `gantry token create`; not asked for on the unix socket" } } },
      security: [{ token: [] }],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => (typeof json["$id"] === "string" ? json["$id"] : `def-${i}`) },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: true, uiConfig: { docExpansion: "list", deepLinking: true } });
}

/** Text of queries, parameters and headers is read as the schema's type; bodies are taken as they are. Defaults are filled in. */
const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = validatorOf(schema);
  return (given: unknown) => {
    const value = Default(schema, httpPart === "body" ? given : Convert(schema, given));
    if (validator.Check(value)) return { value };
    const [first] = validator.Errors(value);
    return { error: fail("INVALID", `${httpPart ?? "request"}${first?.instancePath ?? ""} ${first?.keyword === "boolean" ? "is not known" : first?.message ?? "does not fit its schema"}`) };
  };
};

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  const document = problemOf(error, pathOf(request));
  const seen = { method: request.method, url: request.originalUrl, status: document.status };
  if (reply.raw.destroyed) logger.debug({ ...seen, error: describeError(error) }, "the client went away");
  else if (document.status >= 500) logger.warn({ ...seen, error: describeError(error), ...(document.code === "INTERNAL" ? { stack: (error as Error).stack } : {}) }, "request failed");
  return sendProblem(reply, document);
}

function sendProblem(reply: FastifyReply, document: Problem): FastifyReply {
  if (document.code === "QUEUE_FULL") reply.header("retry-after", "5");
  return reply.code(document.status).header("content-type", PROBLEM_TYPE).serializer((value: unknown) => JSON.stringify(value)).send(document);
}

const pathOf = (request: FastifyRequest): string => request.originalUrl.split("?")[0]!;

import type { FastifyInstance } from "fastify";
import { METRICS_CONTENT_TYPE, metricsPage } from "../metrics/page.ts";
import { observeRequest, type ServedRequest } from "./server.ts";

/** Traces and measures every request to an internal HTTP application, and adds `GET /metrics`. To be called before other hooks and routes are added. */
export function observeApp(app: FastifyInstance, service: ServedRequest["service"]): void {
  app.addHook("onRequest", (request, reply, done) => {
    observeRequest({ service, route: request.routeOptions.url, request: request.raw, response: reply.raw }, () => done());
  });
  app.get("/metrics", async (_request, reply) => {
    const page = await metricsPage();
    return reply.header("content-type", METRICS_CONTENT_TYPE).send(page);
  });
}

import { existsSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import fastify, { type FastifyInstance } from "fastify";

const HEADERS = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** Serves the dashboard's files, for requests that have passed the hooks of the whole API. Names of assets carry a hash: they are kept for good. */
export async function createDashboard(dir: string | null): Promise<FastifyInstance> {
  // Never listens: server/listen.ts does, for all.
  const app = fastify({ logger: false, serverFactory: () => http.createServer() });
  app.addHook("onRequest", async (_request, reply) => { reply.headers(HEADERS); });
  if (dir !== null && existsSync(join(dir, "index.html"))) {
    await app.register(fastifyStatic, {
      root: dir, index: "index.html",
      setHeaders: (response, path) => { response.header("cache-control", path.includes("/assets/") ? "public, max-age=31536000, immutable" : "no-cache"); },
    });
  } else {
    app.get("/", (_request, reply) => reply.code(404).type("text/plain; charset=utf-8").send("The dashboard is not built: run `npm start`, or `pnpm --filter @gantry/dashboard build`.\n"));
  }
  await app.ready();
  return app;
}

import type { FastifyInstance } from "fastify";
import type { Backend } from "../../backend.ts";

const PATHS = ["/v1/*", "/docs", "/docs/*"] as const;

/** Whether a path is one of /v1 or of its documentation: errors there are problem documents. */
export function isV1(url: string): boolean {
  return url.startsWith("/v1/") || /^\/docs(?:[/?]|$)/.test(url);
}

/** Hands requests of /v1 and /docs on to their own routes, which are loaded with the first of them: a start does not wait for them. */
export function mountV1(app: FastifyInstance, backend: Backend, version: string): void {
  let loading: Promise<FastifyInstance> | null = null;
  const load = async (): Promise<FastifyInstance> => (await import("./app.ts")).createV1(backend, version);
  const v1 = (): Promise<FastifyInstance> => loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  for (const path of PATHS) {
    app.all(path, async (request, reply) => {
      const inner = await v1();
      reply.hijack();
      inner.routing(request.raw, reply.raw);
    });
  }
  app.addHook("onClose", async () => (await loading?.catch(() => null))?.close());
}

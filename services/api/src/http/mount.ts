import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Requests are answered by another app, with routes of its own. */
    handedOn?: boolean;
  }
}

/** Hands requests of `paths` on to an app of their own, which is loaded with the first of them: a start does not wait for it. */
export function mountLazily(app: FastifyInstance, paths: readonly string[], load: () => Promise<FastifyInstance>): void {
  let loading: Promise<FastifyInstance> | null = null;
  const loaded = (): Promise<FastifyInstance> => loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  for (const path of paths) {
    app.all(path, { config: { handedOn: true } }, async (request, reply) => {
      const inner = await loaded();
      reply.hijack();
      inner.routing(request.raw, reply.raw);
    });
  }
  app.addHook("onClose", async () => (await loading?.catch(() => null))?.close());
}

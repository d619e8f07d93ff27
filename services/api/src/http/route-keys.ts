import type { FastifyInstance } from "fastify";

const keys = new WeakMap<FastifyInstance, string[]>();

/** Writes down every route that is registered from now on, but for those that hand on to another app. */
export function recordRoutes(app: FastifyInstance): void {
  const list: string[] = [];
  keys.set(app, list);
  app.addHook("onRoute", (route) => {
    if (route.config?.handedOn === true) return;
    for (const method of [route.method].flat()) list.push(`${method} ${route.url}`);
  });
}

/** As `GET /containers/:id/json`. */
export function recordedRoutes(app: FastifyInstance): readonly string[] {
  return keys.get(app) ?? [];
}

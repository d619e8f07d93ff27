import type { FastifyInstance } from "fastify";
import type { Backend } from "../../backend.ts";
import { mountLazily } from "../mount.ts";

/** Whether a path is one of /v1 or of its documentation: errors there are problem documents. */
export function isV1(url: string): boolean {
  return url.startsWith("/v1/") || /^\/docs(?:[/?]|$)/.test(url);
}

export function mountV1(app: FastifyInstance, backend: Backend, version: string): void {
  mountLazily(app, ["/v1/*", "/docs", "/docs/*"], async () => (await import("./app.ts")).createV1(backend, version));
}

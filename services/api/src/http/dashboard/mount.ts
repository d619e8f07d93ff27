import type { FastifyInstance } from "fastify";
import { mountLazily } from "../mount.ts";

/** The dashboard's files at `/` and `/assets/*`. `dir`: what services/dashboard was built to; null: there is none. */
export function mountDashboard(app: FastifyInstance, dir: string | null): void {
  mountLazily(app, ["/", "/assets/*"], async () => (await import("./app.ts")).createDashboard(dir));
}

import { METRICS_CONTENT_TYPE, metricsPage } from "@gantry/telemetry";
import type { Route } from "./exchange.ts";

/** `GET /metrics`: this process in Prometheus' text format; with all services in one process, all of them. */
export function metricsRoutes(): Route[] {
  return [{ method: "GET", path: "/metrics", handle: async (x) => {
    const page = await metricsPage();
    return x.reply.header("content-type", METRICS_CONTENT_TYPE).send(Buffer.from(page));
  } }];
}

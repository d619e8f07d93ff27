import { fail } from "@gantry/contracts";
import { agentOf, type Backend, locate, type Located } from "../backend.ts";
import { bool } from "../domain/query.ts";
import { join } from "../streams/join.ts";
import { proxy } from "../streams/proxy.ts";
import type { Exchange, Route } from "./exchange.ts";

type StreamsBackend = Pick<Backend, "bus" | "http">;

const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";

/** Since 1.42 the content type tells whether stdout and stderr are framed. */
export function streamType(x: Exchange, tty: boolean): string {
  return !tty && x.atLeast("1.42") ? MULTIPLEXED : RAW;
}

export function containerStreamRoutes(backend: StreamsBackend): Route[] {
  const { http } = backend;
  const route = (container: Located, name: string, x: Exchange): string => `/v1/containers/${container.id}/${name}${x.rawQuery}`;
  return [
    { method: "POST", path: "/containers/:id/attach", handle: async (x) => {
      const container = await locate(backend, x.param("id"));
      const stream = await http.upgrade(agentOf(container), { path: route(container, "attach", x), signal: x.gone });
      await join(x.hijack(streamType(x, container.tty)), stream);
    } },
    { method: "GET", path: "/containers/:id/attach/ws", handle: async () => {
      throw fail("NOT_IMPLEMENTED", "attaching over a WebSocket is not implemented");
    } },
    { method: "GET", path: "/containers/:id/logs", handle: async (x) => {
      if (!bool(x.query, "stdout") && !bool(x.query, "stderr")) throw fail("INVALID", "Bad parameters: you must choose at least one stream");
      const container = await locate(backend, x.param("id"));
      await proxy(http, x, { target: agentOf(container), method: "GET", path: route(container, "logs", x), contentType: streamType(x, container.tty) });
    } },
    { method: "GET", path: "/containers/:id/stats", handle: async (x) => {
      const container = await locate(backend, x.param("id"));
      await proxy(http, x, { target: agentOf(container), method: "GET", path: route(container, "stats", x), contentType: "application/json" });
    } },
    { method: "GET", path: "/containers/:id/export", handle: async (x) => {
      const container = await locate(backend, x.param("id"));
      await proxy(http, x, { target: agentOf(container), method: "GET", path: route(container, "export", x), contentType: "application/octet-stream" });
    } },
  ];
}

import { fail } from "@gantry/contracts";
import { askContainer } from "../ask-node.ts";
import { agentOf, type Backend } from "../backend.ts";
import { bool } from "../domain/query.ts";
import { join } from "../streams/join.ts";
import { relay } from "../streams/relay.ts";
import type { Exchange, Route } from "./exchange.ts";

type StreamsBackend = Pick<Backend, "bus" | "http" | "events">;

const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";

/** Since 1.42 the content type tells whether stdout and stderr are framed. */
export function streamType(x: Exchange, tty: boolean): string {
  return !tty && x.atLeast("1.42") ? MULTIPLEXED : RAW;
}

export function containerStreamRoutes(backend: StreamsBackend): Route[] {
  const { http } = backend;
  const get = (x: Exchange, name: string, contentType: (tty: boolean) => string) => askContainer(backend, x.gone, x.param("id"), async (container, signal) => ({
    answer: await http.request(agentOf(container), { method: "GET", path: `/v1/containers/${container.id}/${name}${x.rawQuery}`, signal }), contentType: contentType(container.tty),
  }));
  const stream = async (x: Exchange, name: string, contentType: (tty: boolean) => string): Promise<void> => {
    const { answer, ...options } = await get(x, name, contentType);
    await relay(x, answer, options);
  };
  return [
    { method: "POST", path: "/containers/:id/attach", handle: async (x) => {
      const { raw, tty } = await askContainer(backend, x.gone, x.param("id"), async (container, signal) => ({
        raw: await http.upgrade(agentOf(container), { path: `/v1/containers/${container.id}/attach${x.rawQuery}`, signal }), tty: container.tty,
      }));
      await join(x.hijack(streamType(x, tty)), raw);
    } },
    { method: "GET", path: "/containers/:id/attach/ws", handle: async () => {
      throw fail("NOT_IMPLEMENTED", "attaching over a WebSocket is not implemented");
    } },
    { method: "GET", path: "/containers/:id/logs", handle: async (x) => {
      if (!bool(x.query, "stdout") && !bool(x.query, "stderr")) throw fail("INVALID", "Bad parameters: you must choose at least one stream");
      await stream(x, "logs", (tty) => streamType(x, tty));
    } },
    { method: "GET", path: "/containers/:id/stats", handle: (x) => stream(x, "stats", () => "application/json") },
    { method: "GET", path: "/containers/:id/export", handle: (x) => stream(x, "export", () => "application/octet-stream") },
  ];
}

import { fail } from "@gantry/contracts";
import { discard, type HttpAnswer, type HttpRequest } from "@gantry/http";
import { askContainer } from "../ask-node.ts";
import { agentOf, type Backend } from "../backend.ts";
import { text } from "../domain/query.ts";
import { relay } from "../streams/relay.ts";
import type { Exchange, Route } from "./exchange.ts";

type ArchiveBackend = Pick<Backend, "bus" | "http" | "events">;

const STAT = "x-docker-container-path-stat";

/** `docker cp`: HEAD tells what a path is, GET reads it as a tar, PUT unpacks a tar at it. */
export function archiveRoutes(backend: ArchiveBackend): Route[] {
  const { http } = backend;
  const ask = async (x: Exchange, request: Omit<HttpRequest, "path" | "signal">): Promise<HttpAnswer> => {
    if (text(x.query, "path") === "") throw fail("INVALID", "bad parameter: 'path' cannot be empty");
    return askContainer(backend, x.gone, x.param("id"), (container, signal) => http.request(agentOf(container), { ...request, path: `/v1/containers/${container.id}/archive${x.rawQuery}`, signal }));
  };
  const path = "/containers/:id/archive";
  return [
    { method: "HEAD", path, handle: async (x) => {
      const answer = await ask(x, { method: "HEAD" });
      await discard(answer);
      const stat = answer.headers[STAT];
      if (stat !== undefined) x.reply.header(STAT, stat);
      return x.empty(200);
    } },
    { method: "GET", path, handle: async (x) => {
      await relay(x, await ask(x, { method: "GET" }), { contentType: "application/x-tar", pass: [STAT] });
    } },
    { method: "PUT", path, handle: async (x) => {
      await discard(await ask(x, { method: "PUT", headers: { "content-type": "application/x-tar" }, body: x.request.raw }));
      return x.empty(200);
    } },
  ];
}

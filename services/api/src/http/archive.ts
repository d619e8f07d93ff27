import { fail } from "@gantry/contracts";
import { discard, type Target } from "@gantry/http";
import { agentOf, type Backend, locate } from "../backend.ts";
import { text } from "../domain/query.ts";
import { proxy } from "../streams/proxy.ts";
import type { Exchange, Route } from "./exchange.ts";

type ArchiveBackend = Pick<Backend, "bus" | "http">;

const STAT = "x-docker-container-path-stat";

/** `docker cp`: HEAD tells what a path is, GET reads it as a tar, PUT unpacks a tar at it. */
export function archiveRoutes(backend: ArchiveBackend): Route[] {
  const { http } = backend;
  const at = async (x: Exchange): Promise<{ target: Target; path: string }> => {
    if (text(x.query, "path") === "") throw fail("INVALID", "bad parameter: 'path' cannot be empty");
    const container = await locate(backend, x.param("id"));
    return { target: agentOf(container), path: `/v1/containers/${container.id}/archive${x.rawQuery}` };
  };
  const path = "/containers/:id/archive";
  return [
    { method: "HEAD", path, handle: async (x) => {
      const { target, path: from } = await at(x);
      const answer = await http.request(target, { method: "HEAD", path: from, signal: x.gone });
      await discard(answer);
      const stat = answer.headers[STAT];
      if (stat !== undefined) x.reply.header(STAT, stat);
      return x.empty(200);
    } },
    { method: "GET", path, handle: async (x) => {
      await proxy(http, x, { ...await at(x), method: "GET", contentType: "application/x-tar", pass: [STAT] });
    } },
    { method: "PUT", path, handle: async (x) => {
      const { target, path: to } = await at(x);
      await discard(await http.request(target, { method: "PUT", path: to, headers: { "content-type": "application/x-tar" }, body: x.request.raw, signal: x.gone }));
      return x.empty(200);
    } },
  ];
}

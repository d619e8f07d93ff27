import { fail } from "@gantry/contracts";
import { type Backend, locate } from "../backend.ts";
import { text } from "../domain/query.ts";
import { proxy } from "../streams/proxy.ts";
import type { Exchange, Route } from "./exchange.ts";

type ArchiveBackend = Pick<Backend, "bus" | "upstreams">;

const STAT = "x-docker-container-path-stat";

/** `docker cp`: HEAD tells what a path is, GET reads it as a tar, PUT unpacks a tar at it. */
export function archiveRoutes(backend: ArchiveBackend): Route[] {
  const { upstreams } = backend;
  const target = async (x: Exchange): Promise<{ address: string; path: string }> => {
    if (text(x.query, "path") === "") throw fail("INVALID", "bad parameter: 'path' cannot be empty");
    const { id, address } = await locate(backend, x.param("id"));
    return { address, path: `/v1/containers/${id}/archive${x.rawQuery}` };
  };
  const path = "/containers/:id/archive";
  return [
    { method: "HEAD", path, handle: async (x) => {
      const { address, path: at } = await target(x);
      const response = await upstreams.request(address, { method: "HEAD", path: at, signal: x.gone });
      await response.body.dump();
      const stat = response.headers[STAT];
      if (stat !== undefined) x.reply.header(STAT, stat);
      return x.empty(200);
    } },
    { method: "GET", path, handle: async (x) => {
      await proxy(upstreams, x, { ...await target(x), method: "GET", contentType: "application/x-tar", pass: [STAT] });
    } },
    { method: "PUT", path, handle: async (x) => {
      const { address, path: at } = await target(x);
      const response = await upstreams.request(address, { method: "PUT", path: at, headers: { "content-type": "application/x-tar" }, body: x.request.raw, signal: x.gone });
      await response.body.dump();
      return x.empty(200);
    } },
  ];
}

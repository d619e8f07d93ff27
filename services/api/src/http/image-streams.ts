import type { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import type { Backend } from "../backend.ts";
import { checkRegistryAuth } from "../domain/credentials.ts";
import { withTagOrDigest } from "../domain/image-name.ts";
import { checkRemote } from "../domain/remote-context.ts";
import { text } from "../domain/query.ts";
import { download } from "../streams/download.ts";
import { relay } from "../streams/relay.ts";
import type { Exchange, Route } from "./exchange.ts";

type ImageStreamsBackend = Pick<Backend, "http" | "imageStore">;

const MAX_NAMES = 256;

/** Pull, import, push, save and load: all done by the image store, passed through as they come. */
export function imageStreamRoutes({ http, imageStore }: ImageStreamsBackend): Route[] {
  const send = async (x: Exchange, path: string, query: URLSearchParams, { headers = {}, body = null }: { headers?: Record<string, string>; body?: Readable | null } = {}): Promise<void> =>
    relay(x, await http.request(imageStore, { method: "POST", path: `${path}?${query}`, headers, body, signal: x.gone }), { contentType: "application/json" });
  const save = async (x: Exchange, names: readonly string[]): Promise<void> => {
    if (names.length === 0) throw fail("INVALID", "no image names given");
    if (names.length > MAX_NAMES) throw fail("INVALID", `more than ${MAX_NAMES} images`);
    const query = new URLSearchParams(names.map((name) => ["name", name]));
    const platform = text(x.query, "platform");
    if (platform !== "") query.set("platform", platform);
    await relay(x, await http.request(imageStore, { method: "GET", path: `/v1/images/save?${query}`, signal: x.gone }), { contentType: "application/x-tar" });
  };
  return [
    { method: "POST", path: "/images/create", handle: async (x) => {
      const fromImage = text(x.query, "fromImage");
      const fromSrc = text(x.query, "fromSrc");
      const platform = text(x.query, "platform");
      if (fromImage !== "") {
        const tag = text(x.query, "tag");
        const query = new URLSearchParams({ ref: withTagOrDigest(fromImage, tag), platform });
        // Docker's `pull -a`: no tag anywhere means all of them.
        if (tag === "") query.set("all", "1");
        return await send(x, "/v1/images/pull", query, { headers: authHeaders(x) });
      }
      if (fromSrc === "") throw fail("INVALID", "fromImage or fromSrc is required");
      const query = new URLSearchParams({ repo: text(x.query, "repo"), tag: text(x.query, "tag"), message: text(x.query, "message"), platform });
      for (const change of x.query.getAll("changes").flatMap((lines) => lines.split("\n"))) if (change.trim() !== "") query.append("change", change);
      const body = fromSrc === "-" ? x.request.raw : await download(checkRemote(fromSrc), x.gone);
      await send(x, "/v1/images/import", query, { body });
    } },
    { method: "POST", path: "/images/:name/push", handle: async (x) => {
      const query = new URLSearchParams({ ref: withTagOrDigest(x.param("name"), text(x.query, "tag")) });
      if (text(x.query, "platform") !== "") query.set("platform", text(x.query, "platform"));
      await send(x, "/v1/images/push", query, { headers: authHeaders(x) });
    } },
    { method: "POST", path: "/images/load", handle: async (x) => {
      await send(x, "/v1/images/load", new URLSearchParams({ quiet: text(x.query, "quiet") || "0" }), { headers: { "content-type": "application/x-tar" }, body: x.request.raw });
    } },
    { method: "GET", path: "/images/get", handle: (x) => save(x, x.query.getAll("names").filter((name) => name !== "")) },
    { method: "GET", path: "/images/:name/get", handle: (x) => save(x, [x.param("name")]) },
  ];
}

function authHeaders(x: Exchange): Record<string, string> {
  const auth = checkRegistryAuth(x.header("x-registry-auth"));
  return auth === null ? {} : { "x-registry-auth": auth };
}

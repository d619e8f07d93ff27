import { fail, imageHistory, imageInspect, imageList, imagePrune, imageRemove, imageTag } from "@gantry/contracts";
import { parseReference } from "@gantry/oci";
import { type Backend, patient } from "../backend.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { bool, text } from "../domain/query.ts";
import type { Route } from "./exchange.ts";

/** `/images` without what moves bytes (image-streams.ts). */
export function imageRoutes({ bus }: Pick<Backend, "bus">): Route[] {
  return [
    { method: "GET", path: "/images/json", handle: async (x) => {
      const filters = parseFilters(x.query.get("filters"), FILTERS.images);
      if (text(x.query, "filter") !== "") filters["reference"] = [text(x.query, "filter")];
      const { images } = await bus.call(imageList, { all: bool(x.query, "all"), filters, digests: bool(x.query, "digests"), ...(bool(x.query, "shared-size") ? { sharedSize: true } : {}) });
      return x.json(images);
    } },
    { method: "GET", path: "/images/search", handle: async () => {
      throw fail("NOT_IMPLEMENTED", "searching a registry for images is not implemented");
    } },
    { method: "GET", path: "/images/:name/json", handle: async (x) => {
      const { image } = await bus.call(imageInspect, { ref: x.param("name") });
      return x.json(image);
    } },
    { method: "GET", path: "/images/:name/history", handle: async (x) => {
      const { history } = await bus.call(imageHistory, { ref: x.param("name") });
      return x.json(history);
    } },
    { method: "POST", path: "/images/:name/tag", handle: async (x) => {
      const repo = text(x.query, "repo");
      const tag = text(x.query, "tag");
      const target = tag === "" ? repo : `${repo}:${tag}`;
      if (parseReference(target).digest !== null) throw fail("INVALID", "refusing to create a tag with a digest reference");
      await bus.call(imageTag, { ref: x.param("name"), target });
      return x.empty(201);
    } },
    { method: "DELETE", path: "/images/:name", handle: async (x) => {
      const { rows } = await bus.call(imageRemove, { ref: x.param("name"), force: bool(x.query, "force"), prune: !bool(x.query, "noprune") }, patient(x));
      return x.json(rows);
    } },
    { method: "POST", path: "/images/prune", handle: async (x) => {
      const { rows, spaceReclaimed } = await bus.call(imagePrune, { filters: parseFilters(x.query.get("filters"), FILTERS.imagesPrune) }, patient(x));
      return x.json({ ImagesDeleted: rows, SpaceReclaimed: spaceReclaimed });
    } },
  ];
}

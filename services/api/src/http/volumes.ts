import { volumeCreate, volumeInspect, volumeList, volumePrune, volumeRemove, fail } from "@gantry/contracts";
import type { Backend } from "../backend.ts";
import { patient } from "../backend.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { bool } from "../domain/query.ts";
import type { Route } from "./exchange.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export function volumeRoutes({ bus }: Pick<Backend, "bus">): Route[] {
  return [
    { method: "GET", path: "/volumes", handle: async (x) => {
      const { volumes } = await bus.call(volumeList, { filters: parseFilters(x.query.get("filters"), FILTERS.volumes) });
      return x.json({ Volumes: volumes, Warnings: null });
    } },
    { method: "POST", path: "/volumes/create", handle: async (x) => {
      const body = await x.body() ?? {};
      const name = body["Name"];
      if (name !== undefined && name !== null && typeof name !== "string") throw fail("INVALID", "volume name must be a string");
      if (typeof name === "string" && name !== "" && (!NAME.test(name) || name.length > 255)) {
        throw fail("INVALID", `create ${name.slice(0, 255)}: "${name.slice(0, 255)}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`);
      }
      const { volume } = await bus.call(volumeCreate, { name: name === undefined || name === "" ? null : name, body }, patient(x));
      return x.json(volume, 201);
    } },
    { method: "GET", path: "/volumes/:name", handle: async (x) => {
      const { volume } = await bus.call(volumeInspect, { name: x.param("name") });
      return x.json(volume);
    } },
    { method: "DELETE", path: "/volumes/:name", handle: async (x) => {
      await bus.call(volumeRemove, { name: x.param("name"), force: bool(x.query, "force") }, patient(x));
      return x.empty();
    } },
    { method: "POST", path: "/volumes/prune", handle: async (x) => {
      const filters = parseFilters(x.query.get("filters"), FILTERS.volumesPrune);
      // Before 1.42 named volumes were pruned too.
      if (!x.atLeast("1.42")) filters["all"] ??= ["true"];
      const { names, spaceReclaimed } = await bus.call(volumePrune, { filters }, patient(x));
      return x.json({ VolumesDeleted: names, SpaceReclaimed: spaceReclaimed });
    } },
  ];
}

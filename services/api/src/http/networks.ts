import { fail, networkConnect, networkCreate, networkDisconnect, networkInspect, networkList, networkPrune, networkRemove } from "@gantry/contracts";
import { newId } from "@gantry/kernel";
import type { Backend } from "../backend.ts";
import { patient } from "../backend.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { isRecord } from "../domain/query.ts";
import type { Exchange, Route } from "./exchange.ts";

export function networkRoutes({ bus }: Pick<Backend, "bus">): Route[] {
  const list = async (x: Exchange): Promise<unknown> => {
    const { networks } = await bus.call(networkList, { filters: parseFilters(x.query.get("filters"), FILTERS.networks) });
    return x.json(networks);
  };
  return [
    { method: "GET", path: "/networks", handle: list },
    { method: "GET", path: "/networks/", handle: list },
    { method: "GET", path: "/networks/:id", handle: async (x) => {
      const { network } = await bus.call(networkInspect, { ref: x.param("id") });
      return x.json(network);
    } },
    { method: "POST", path: "/networks/create", handle: async (x) => {
      const body = await x.body();
      if (body === null || typeof body["Name"] !== "string" || body["Name"] === "") throw fail("INVALID", "network name is required");
      const { id, warning } = await bus.call(networkCreate, { id: newId(), body }, patient(x));
      return x.json({ Id: id, Warning: warning }, 201);
    } },
    { method: "DELETE", path: "/networks/:id", handle: async (x) => {
      await bus.call(networkRemove, { ref: x.param("id") }, patient(x));
      return x.empty();
    } },
    { method: "POST", path: "/networks/:id/connect", handle: async (x) => {
      const body = await x.body() ?? {};
      const endpoint = body["EndpointConfig"];
      await bus.call(networkConnect, { ref: x.param("id"), container: containerOf(body), endpoint: isRecord(endpoint) ? endpoint : null }, patient(x));
      return x.empty(200);
    } },
    { method: "POST", path: "/networks/:id/disconnect", handle: async (x) => {
      const body = await x.body() ?? {};
      await bus.call(networkDisconnect, { ref: x.param("id"), container: containerOf(body), force: body["Force"] === true }, patient(x));
      return x.empty(200);
    } },
    { method: "POST", path: "/networks/prune", handle: async (x) => {
      const { names } = await bus.call(networkPrune, { filters: parseFilters(x.query.get("filters"), FILTERS.networksPrune) }, patient(x));
      return x.json({ NetworksDeleted: names });
    } },
  ];
}

function containerOf(body: Record<string, unknown>): string {
  const container = body["Container"];
  if (typeof container !== "string" || container === "") throw fail("INVALID", "container name or ID is required");
  return container;
}

import {
  containerCommit, containerCreate, containerInspect, containerKill, containerList, containerPause, containerPrune, containerRemove, containerRename,
  containerRestart, containerStart, containerStop, containerUpdate, fail, nodeContainerChanges, nodeContainerResize, nodeContainerTop, statusOf,
} from "@gantry/contracts";
import { isGantryError, newId } from "@gantry/kernel";
import { parseAnyReference } from "@gantry/oci";
import { askContainer } from "../ask-node.ts";
import { type Backend, patient } from "../backend.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { bool, integer, text } from "../domain/query.ts";
import type { Exchange, Route } from "./exchange.ts";
import { rememberCreation } from "./run-trace.ts";

type ContainersBackend = Pick<Backend, "bus" | "events">;

/** `/containers` without its streams (container-streams.ts, archive.ts, wait.ts), and `/commit`. */
export function containerRoutes(backend: ContainersBackend): Route[] {
  const { bus } = backend;
  return [
    { method: "GET", path: "/containers/json", handle: async (x) => {
      const limit = integer(x.query, "limit");
      const filters = parseFilters(x.query.get("filters"), FILTERS.containers);
      // Names of single containers from before there were filters.
      for (const name of ["since", "before"] as const) if (text(x.query, name) !== "") filters[name] = [text(x.query, name)];
      const reply = await bus.call(containerList, { all: bool(x.query, "all"), limit: limit !== null && limit > 0 ? limit : null, size: bool(x.query, "size"), filters });
      return x.json(reply.containers);
    } },
    { method: "POST", path: "/containers/create", handle: (x) => create(backend, x) },
    { method: "GET", path: "/containers/:id/json", handle: async (x) => {
      const { container } = await bus.call(containerInspect, { ref: x.param("id"), size: bool(x.query, "size") });
      return x.json(container);
    } },
    { method: "GET", path: "/containers/:id/top", handle: async (x) => {
      return x.json(await askContainer(backend, x.gone, x.param("id"), ({ id, nodeId }, signal) =>
        bus.call(nodeContainerTop, { id, psArgs: text(x.query, "ps_args") || "-ef" }, { node: nodeId, signal })));
    } },
    { method: "GET", path: "/containers/:id/changes", handle: async (x) => {
      const { changes } = await askContainer(backend, x.gone, x.param("id"), ({ id, nodeId }, signal) => bus.call(nodeContainerChanges, { id }, { node: nodeId, timeoutMs: 0, signal }));
      return x.json(changes);
    } },
    { method: "POST", path: "/containers/:id/resize", handle: async (x) => {
      const size = terminalSize(x);
      await askContainer(backend, x.gone, x.param("id"), ({ id, nodeId }, signal) => bus.call(nodeContainerResize, { id, ...size }, { node: nodeId, signal }));
      return x.empty(200);
    } },
    { method: "POST", path: "/containers/:id/start", handle: async (x) => {
      const { alreadyStarted } = await bus.call(containerStart, { ref: x.param("id") }, patient(x));
      return x.empty(alreadyStarted ? 304 : 204);
    } },
    { method: "POST", path: "/containers/:id/stop", handle: async (x) => {
      const { alreadyStopped } = await bus.call(containerStop, { ref: x.param("id"), ...ending(x) }, patient(x));
      return x.empty(alreadyStopped ? 304 : 204);
    } },
    { method: "POST", path: "/containers/:id/restart", handle: async (x) => {
      await bus.call(containerRestart, { ref: x.param("id"), ...ending(x) }, patient(x));
      return x.empty();
    } },
    { method: "POST", path: "/containers/:id/kill", handle: async (x) => {
      await bus.call(containerKill, { ref: x.param("id"), signal: text(x.query, "signal") || "SIGKILL" });
      return x.empty();
    } },
    { method: "POST", path: "/containers/:id/rename", handle: async (x) => {
      const name = text(x.query, "name");
      if (name === "") throw fail("INVALID", "Neither old nor new names may be empty");
      await bus.call(containerRename, { ref: x.param("id"), name });
      return x.empty();
    } },
    { method: "POST", path: "/containers/:id/update", handle: async (x) => {
      const { warnings } = await bus.call(containerUpdate, { ref: x.param("id"), body: await x.body() ?? {} });
      return x.json({ Warnings: warnings });
    } },
    ...([true, false] as const).map((paused): Route => ({ method: "POST", path: `/containers/:id/${paused ? "pause" : "unpause"}`, handle: async (x) => {
      await bus.call(containerPause, { ref: x.param("id"), paused });
      return x.empty();
    } })),
    { method: "POST", path: "/containers/prune", handle: async (x) => {
      const { ids, spaceReclaimed } = await bus.call(containerPrune, { filters: parseFilters(x.query.get("filters"), FILTERS.containersPrune) }, patient(x));
      return x.json({ ContainersDeleted: ids, SpaceReclaimed: spaceReclaimed });
    } },
    { method: "DELETE", path: "/containers/:id", handle: async (x) => {
      if (bool(x.query, "link")) throw fail("NOT_IMPLEMENTED", "removing a link is not implemented");
      await bus.call(containerRemove, { ref: x.param("id"), force: bool(x.query, "force"), volumes: bool(x.query, "v") }, patient(x));
      return x.empty();
    } },
    { method: "POST", path: "/commit", handle: async (x) => {
      const config = await x.body();
      const { id } = await bus.call(containerCommit, {
        ref: text(x.query, "container"), repo: x.query.get("repo") || null, tag: x.query.get("tag") || null,
        author: text(x.query, "author"), comment: text(x.query, "comment"), pause: bool(x.query, "pause", true),
        changes: x.query.getAll("changes").flatMap((change) => change.split("\n")).filter((change) => change.trim() !== ""), config,
      }, patient(x));
      return x.json({ Id: id }, 201);
    } },
  ];
}

async function create({ bus }: ContainersBackend, x: Exchange): Promise<unknown> {
  const body = await x.body();
  if (body === null) throw fail("INVALID", "config cannot be empty in order to create a container");
  const image = body["Image"];
  if (typeof image === "string" && image !== "") parseAnyReference(image);
  const name = text(x.query, "name").replace(/^\//, "");
  const platform = text(x.query, "platform");
  const request = { id: newId(), name: name === "" ? null : name, body, ...(platform === "" ? {} : { platform }) };
  const { id, warnings } = await bus.call(containerCreate, request, patient(x)).catch((error: unknown) => { throw onlyImagesAreMissing(error); });
  rememberCreation(id);
  return x.json({ Id: id, Warnings: warnings }, 201);
}

/** Clients take a 404 for a missing image, and pull it. What else is missing (a network, another container) is 400. */
function onlyImagesAreMissing(error: unknown): unknown {
  if (!isGantryError(error) || statusOf(error) !== 404 || error.code === "NO_SUCH_IMAGE") return error;
  return fail("INVALID", error.message, { cause: error });
}

function ending(x: Exchange): { timeout: number | null; signal: string | null } {
  return { timeout: integer(x.query, "t"), signal: text(x.query, "signal") || null };
}

/** `h` and `w`, in characters. */
export function terminalSize(x: Exchange): { height: number; width: number } {
  const height = integer(x.query, "h") ?? 0;
  const width = integer(x.query, "w") ?? 0;
  if (height < 0 || width < 0 || height > 65535 || width > 65535) throw fail("INVALID", "a terminal's height and width are 0 to 65535");
  return { height, width };
}

import { fail, nodeExecCreate, nodeExecInspect, nodeExecResize } from "@gantry/contracts";
import { discard } from "@gantry/http";
import { newId } from "@gantry/kernel";
import { askContainer, askNode } from "../ask-node.ts";
import { agentOf, type Backend } from "../backend.ts";
import type { ExecNodes } from "../exec-nodes.ts";
import { join } from "../streams/join.ts";
import { streamType } from "./container-streams.ts";
import { terminalSize } from "./containers.ts";
import type { Exchange, Route } from "./exchange.ts";

type ExecBackend = Pick<Backend, "bus" | "http" | "events"> & { readonly execNodes: ExecNodes };

export function execRoutes(backend: ExecBackend): Route[] {
  const { bus, execNodes } = backend;
  return [
    { method: "POST", path: "/containers/:id/exec", handle: async (x) => {
      const config = await x.body() ?? {};
      const { Cmd } = config;
      if (!Array.isArray(Cmd) || Cmd.length === 0) throw fail("INVALID", "No exec command specified");
      const execId = await askContainer(backend, x.gone, x.param("id"), async ({ id, nodeId, address }, signal) => {
        const made = await bus.call(nodeExecCreate, { execId: newId(), containerId: id, config }, { node: nodeId, signal });
        execNodes.remember(made.execId, { nodeId, address });
        return made.execId;
      });
      return x.json({ Id: execId }, 201);
    } },
    { method: "POST", path: "/exec/:id/start", handle: (x) => start(backend, x) },
    { method: "POST", path: "/exec/:id/resize", handle: async (x) => {
      const size = terminalSize(x);
      await askNode(backend, x.gone, () => execNodes.find(x.param("id")), ({ nodeId }, signal) => bus.call(nodeExecResize, { execId: x.param("id"), ...size }, { node: nodeId, signal }));
      return x.empty(200);
    } },
    { method: "GET", path: "/exec/:id/json", handle: async (x) => {
      const { exec } = await askNode(backend, x.gone, () => execNodes.find(x.param("id")), ({ nodeId }, signal) => bus.call(nodeExecInspect, { execId: x.param("id") }, { node: nodeId, signal }));
      return x.json(exec);
    } },
  ];
}

async function start(backend: ExecBackend, x: Exchange): Promise<unknown> {
  const { http, execNodes } = backend;
  const body = await x.body() ?? {};
  const detach = body["Detach"] === true;
  const tty = body["Tty"] === true;
  const find = () => execNodes.find(x.param("id"));
  const path = `/v1/exec/${x.param("id")}/start`;
  const request = { Detach: detach, Tty: tty, ...(Array.isArray(body["ConsoleSize"]) ? { ConsoleSize: body["ConsoleSize"] } : {}) };
  if (detach) {
    await discard(await askNode(backend, x.gone, find, (place, signal) =>
      http.request(agentOf(place), { method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(request), signal })));
    return x.empty(200);
  }
  const stream = await askNode(backend, x.gone, find, (place, signal) => http.upgrade(agentOf(place), { path, body: request, signal }));
  await join(x.hijack(streamType(x, tty)), stream);
  return x.reply;
}

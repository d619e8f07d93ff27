import { fail, nodeExecCreate, nodeExecInspect, nodeExecResize } from "@gantry/contracts";
import { discard } from "@gantry/http";
import { newId } from "@gantry/kernel";
import { agentOf, type Backend, locate } from "../backend.ts";
import type { ExecNodes } from "../exec-nodes.ts";
import { join } from "../streams/join.ts";
import { streamType } from "./container-streams.ts";
import { terminalSize } from "./containers.ts";
import type { Exchange, Route } from "./exchange.ts";

type ExecBackend = Pick<Backend, "bus" | "http"> & { readonly execNodes: ExecNodes };

export function execRoutes(backend: ExecBackend): Route[] {
  const { bus, execNodes } = backend;
  return [
    { method: "POST", path: "/containers/:id/exec", handle: async (x) => {
      const config = await x.body() ?? {};
      const { Cmd } = config;
      if (!Array.isArray(Cmd) || Cmd.length === 0) throw fail("INVALID", "No exec command specified");
      const { id, nodeId, address } = await locate(backend, x.param("id"));
      const { execId } = await bus.call(nodeExecCreate, { execId: newId(), containerId: id, config }, { node: nodeId });
      execNodes.remember(execId, { nodeId, address });
      return x.json({ Id: execId }, 201);
    } },
    { method: "POST", path: "/exec/:id/start", handle: (x) => start(backend, x) },
    { method: "POST", path: "/exec/:id/resize", handle: async (x) => {
      const size = terminalSize(x);
      const { nodeId } = await execNodes.find(x.param("id"));
      await bus.call(nodeExecResize, { execId: x.param("id"), ...size }, { node: nodeId });
      return x.empty(200);
    } },
    { method: "GET", path: "/exec/:id/json", handle: async (x) => {
      const { nodeId } = await execNodes.find(x.param("id"));
      const { exec } = await bus.call(nodeExecInspect, { execId: x.param("id") }, { node: nodeId });
      return x.json(exec);
    } },
  ];
}

async function start({ http, execNodes }: ExecBackend, x: Exchange): Promise<unknown> {
  const body = await x.body() ?? {};
  const detach = body["Detach"] === true;
  const tty = body["Tty"] === true;
  const target = agentOf(await execNodes.find(x.param("id")));
  const path = `/v1/exec/${x.param("id")}/start`;
  const request = { Detach: detach, Tty: tty, ...(Array.isArray(body["ConsoleSize"]) ? { ConsoleSize: body["ConsoleSize"] } : {}) };
  if (detach) {
    await discard(await http.request(target, { method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(request), signal: x.gone }));
    return x.empty(200);
  }
  const stream = await http.upgrade(target, { path, body: request, signal: x.gone });
  await join(x.hijack(streamType(x, tty)), stream);
  return x.reply;
}

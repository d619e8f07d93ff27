import { fail } from "@gantry/contracts";
import type { Method, Route } from "./exchange.ts";

const NOT_A_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

const SWARM_ONLY: readonly [Method, string][] = [
  ["GET", "/swarm"], ["GET", "/swarm/unlockkey"], ["POST", "/swarm/update"], ["POST", "/swarm/unlock"], ["POST", "/swarm/leave"],
  ["GET", "/nodes"], ["GET", "/nodes/:id"], ["DELETE", "/nodes/:id"], ["POST", "/nodes/:id/update"],
  ["GET", "/services"], ["POST", "/services/create"], ["GET", "/services/:id"], ["DELETE", "/services/:id"], ["POST", "/services/:id/update"], ["GET", "/services/:id/logs"],
  ["GET", "/tasks"], ["GET", "/tasks/:id"], ["GET", "/tasks/:id/logs"],
  ["GET", "/secrets"], ["POST", "/secrets/create"], ["GET", "/secrets/:id"], ["DELETE", "/secrets/:id"], ["POST", "/secrets/:id/update"],
  ["GET", "/configs"], ["POST", "/configs/create"], ["GET", "/configs/:id"], ["DELETE", "/configs/:id"], ["POST", "/configs/:id/update"],
];

const NOT_IMPLEMENTED: readonly [Method, string, string][] = [
  ["POST", "/swarm/init", "swarm mode is not implemented"],
  ["POST", "/swarm/join", "swarm mode is not implemented"],
  ["GET", "/plugins/privileges", "plugins are not implemented"],
  ["POST", "/plugins/pull", "plugins are not implemented"],
  ["POST", "/plugins/create", "plugins are not implemented"],
  ["GET", "/distribution/:name/json", "asking a registry about an image without pulling it is not implemented"],
  ["POST", "/session", "sessions are part of BuildKit, which is not implemented: set DOCKER_BUILDKIT=0"],
  ["POST", "/grpc", "BuildKit is not implemented: set DOCKER_BUILDKIT=0"],
];

/** Routes of Docker's that have nothing behind them, each saying so. */
export function unsupportedRoutes(): Route[] {
  const plugin = (method: Method, path: string): Route => ({ method, path, handle: async (x) => {
    throw fail("NOT_FOUND", `plugin "${x.param("name")}" not found`);
  } });
  return [
    ...SWARM_ONLY.map(([method, path]): Route => ({ method, path, handle: async () => { throw fail("UNAVAILABLE", NOT_A_MANAGER); } })),
    ...NOT_IMPLEMENTED.map(([method, path, message]): Route => ({ method, path, handle: async () => { throw fail("NOT_IMPLEMENTED", message); } })),
    // There are no plugins: an empty list is the truth.
    { method: "GET", path: "/plugins", handle: async (x) => x.json([]) },
    plugin("GET", "/plugins/:name/json"),
    plugin("DELETE", "/plugins/:name"),
    ...["enable", "disable", "upgrade", "push", "set"].map((verb) => plugin("POST", `/plugins/:name/${verb}`)),
  ];
}

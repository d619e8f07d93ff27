import type { Role } from "@gantry/contracts";
import type { Need } from "../domain/access.ts";

/**
 * What each route asks for, by method and path as it is registered: the whole of who may do what.
 *
 * - viewer: sees what is there, what runs and what it logs. Nothing that reads a container's files or takes part in it.
 * - builder: and makes images: builds, pulls, pushes, tags, loads and saves them.
 * - admin: everything, so also whatever makes a container, and with it root on a host.
 *
 * A route that is not in it asks for admin, and fails roles.test.ts.
 */
const ROLES: Readonly<Record<string, Need>> = {
  "GET /healthz": "public",

  "GET /_ping": "viewer",
  "HEAD /_ping": "viewer",
  "GET /version": "viewer",
  "GET /info": "viewer",
  "GET /system/df": "viewer",
  "GET /events": "viewer",
  "GET /metrics": "viewer",
  "POST /auth": "builder",

  "GET /containers/json": "viewer",
  "GET /containers/:id/json": "viewer",
  "GET /containers/:id/top": "viewer",
  "GET /containers/:id/changes": "viewer",
  "GET /containers/:id/logs": "viewer",
  "GET /containers/:id/stats": "viewer",
  "POST /containers/:id/wait": "viewer", // changes nothing
  "GET /exec/:id/json": "viewer",
  "POST /containers/create": "admin",
  "POST /containers/:id/start": "admin",
  "POST /containers/:id/stop": "admin",
  "POST /containers/:id/restart": "admin",
  "POST /containers/:id/kill": "admin",
  "POST /containers/:id/rename": "admin",
  "POST /containers/:id/pause": "admin",
  "POST /containers/:id/unpause": "admin",
  "POST /containers/:id/update": "admin",
  "POST /containers/:id/resize": "admin",
  "POST /containers/prune": "admin",
  "DELETE /containers/:id": "admin",
  "POST /commit": "admin",
  "POST /containers/:id/attach": "admin",
  "GET /containers/:id/attach/ws": "admin",
  "GET /containers/:id/export": "admin",
  "HEAD /containers/:id/archive": "admin",
  "GET /containers/:id/archive": "admin",
  "PUT /containers/:id/archive": "admin",
  "POST /containers/:id/exec": "admin",
  "POST /exec/:id/start": "admin",
  "POST /exec/:id/resize": "admin",

  "GET /images/json": "viewer",
  "GET /images/search": "viewer",
  "GET /images/:name/json": "viewer",
  "GET /images/:name/history": "viewer",
  "GET /distribution/:name/json": "builder", // with the client's registry credentials, as a pull
  "POST /images/create": "builder",
  "POST /images/:name/push": "builder",
  "POST /images/:name/tag": "builder",
  "POST /images/load": "builder",
  "GET /images/get": "builder",
  "GET /images/:name/get": "builder",
  "DELETE /images/:name": "admin",
  "POST /images/prune": "admin",

  "POST /build": "builder",
  "POST /build/cancel": "builder",
  "POST /build/prune": "builder",
  "POST /session": "builder",
  "POST /grpc": "builder",

  "GET /networks": "viewer",
  "GET /networks/": "viewer",
  "GET /networks/:id": "viewer",
  "POST /networks/create": "admin",
  "DELETE /networks/:id": "admin",
  "POST /networks/:id/connect": "admin",
  "POST /networks/:id/disconnect": "admin",
  "POST /networks/prune": "admin",
  "GET /volumes": "viewer",
  "GET /volumes/:name": "viewer",
  "POST /volumes/create": "admin",
  "DELETE /volumes/:name": "admin",
  "POST /volumes/prune": "admin",

  "GET /swarm": "viewer",
  "GET /swarm/unlockkey": "admin",
  "POST /swarm/init": "admin",
  "POST /swarm/join": "admin",
  "POST /swarm/update": "admin",
  "POST /swarm/unlock": "admin",
  "POST /swarm/leave": "admin",
  "GET /nodes": "viewer",
  "GET /nodes/:id": "viewer",
  "DELETE /nodes/:id": "admin",
  "POST /nodes/:id/update": "admin",
  "GET /services": "viewer",
  "GET /services/:id": "viewer",
  "GET /services/:id/logs": "viewer",
  "POST /services/create": "admin",
  "DELETE /services/:id": "admin",
  "POST /services/:id/update": "admin",
  "GET /tasks": "viewer",
  "GET /tasks/:id": "viewer",
  "GET /tasks/:id/logs": "viewer",
  "GET /secrets": "viewer",
  "GET /secrets/:id": "viewer",
  "POST /secrets/create": "admin",
  "DELETE /secrets/:id": "admin",
  "POST /secrets/:id/update": "admin",
  "GET /configs": "viewer",
  "GET /configs/:id": "viewer",
  "POST /configs/create": "admin",
  "DELETE /configs/:id": "admin",
  "POST /configs/:id/update": "admin",
  "GET /plugins": "viewer",
  "GET /plugins/:name/json": "viewer",
  "GET /plugins/privileges": "admin",
  "POST /plugins/pull": "admin",
  "POST /plugins/create": "admin",
  "DELETE /plugins/:name": "admin",
  "POST /plugins/:name/enable": "admin",
  "POST /plugins/:name/disable": "admin",
  "POST /plugins/:name/upgrade": "admin",
  "POST /plugins/:name/push": "admin",
  "POST /plugins/:name/set": "admin",

  "GET /v1/builds": "viewer",
  "GET /v1/builds/:id": "viewer",
  "GET /v1/builds/:id/logs": "viewer",
  "POST /v1/builds": "builder",
  "POST /v1/builds/:id/cancel": "builder",
  "POST /v1/builds/:id/retry": "builder",
  "POST /v1/blobs": "builder",
  "GET /v1/blobs/:digest": "builder",
  "GET /v1/live": "viewer",
  "GET /v1/nodes": "viewer",
  "GET /v1/nodes/:id": "viewer",
  "PATCH /v1/nodes/:id": "admin",
  "GET /v1/containers/:id/placement": "viewer",
  "GET /v1/session": "viewer",
  "POST /v1/session/end": "viewer",
  "GET /v1/dead": "admin", // messages hold credentials and environments
  "GET /v1/dead/:id": "admin",
  "POST /v1/dead/:id/retry": "admin",
  "POST /v1/dead/retry": "admin",
  "DELETE /v1/dead/:id": "admin",
  "GET /v1/tokens": "admin",
  "POST /v1/tokens": "admin",
  "DELETE /v1/tokens/:id": "admin",
};

/** Documentation, which several plugins serve. */
const DOCS = /^\/docs(?:\/|$)/;

/** Undefined for a route that has no role. */
export function needOf(method: string, path: string): Need | undefined {
  return DOCS.test(path) ? "viewer" : ROLES[`${method} ${path}`];
}

/** For a route that nobody may ask without a login. */
export function requiredRole(method: string, path: string): Role {
  const need = needOf(method, path);
  return need === undefined || need === "public" ? "admin" : need;
}

/** The routes that have a role, as `GET /info`. */
export const withRole: readonly string[] = Object.keys(ROLES);

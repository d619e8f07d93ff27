import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalBus } from "@gantry/bus";
import { HttpClient } from "@gantry/http";
import { silentLogger, systemClock } from "@gantry/kernel";
import { Guard } from "../auth/guard.ts";
import type { Backend } from "../backend.ts";
import { ExecNodes } from "../exec-nodes.ts";
import { EventHub } from "../event-hub.ts";
import { LiveHub } from "../live/hub.ts";
import { busSource } from "../live/source.ts";
import { describeSelf } from "../self.ts";
import { createApp } from "./app.ts";
import { needOf, requiredRole, withRole } from "./roles.ts";
import { recordedRoutes } from "./route-keys.ts";
import { dockerRoutes } from "./routes.ts";
import { createV1 } from "./v1/app.ts";

/** Every route of the API, as `GET /info`. */
async function allRoutes(): Promise<string[]> {
  await using scope = new AsyncDisposableStack();
  const shared = { clock: systemClock, logger: silentLogger };
  const bus = scope.use(createLocalBus({ service: "test", ...shared }));
  const guard = scope.use(await Guard.open({ bus, ...shared }));
  const events = scope.use(await EventHub.open(bus));
  const live = scope.use(new LiveHub({ source: busSource({ bus, ...shared }), bus, events, ...shared }));
  const backend: Backend = {
    bus, guard, ...shared, events, live, http: scope.use(new HttpClient()),
    content: {} as Backend["content"], maxContextBytes: 1024, imageStore: { address: "unix:/none", identity: "service/image-store" },
  };
  const self = describeSelf({ version: "", instance: "", rootDir: "", gitCommit: "", hostname: "" });
  const app = await createApp(dockerRoutes({ ...backend, self, execNodes: new ExecNodes(bus) }), { serverHeader: "", logger: silentLogger, guard });
  const v1 = await createV1(backend, "");
  scope.defer(() => Promise.all([app.close(), v1.close()]).then(() => {}));
  return [...recordedRoutes(app), ...recordedRoutes(v1)];
}

test("every route has a role in roles.ts, and every role a route", async () => {
  const routes = await allRoutes();
  assert.ok(routes.length > 100 && routes.includes("POST /containers/:id/exec") && routes.includes("POST /v1/tokens"), "the test sees the routes");
  const without = routes.filter((key) => needOf(...(key.split(" ") as [string, string])) === undefined);
  assert.deepEqual(without, [], "name what these ask for in services/api/src/http/roles.ts");
  assert.deepEqual(withRole.filter((key) => !routes.includes(key)), [], "these are no routes any more");
});

test("only the entrance is public, and whatever makes or enters a container is for admins", () => {
  assert.deepEqual(withRole.filter((key) => needOf(...(key.split(" ") as [string, string])) === "public"), ["GET /healthz"]);
  for (const key of ["POST /containers/create", "POST /containers/:id/exec", "POST /containers/:id/attach", "GET /containers/:id/archive", "GET /containers/:id/export", "POST /commit", "POST /v1/tokens", "GET /v1/tokens"]) {
    assert.equal(needOf(...(key.split(" ") as [string, string])), "admin", key);
  }
  const changes = withRole.filter((key) => !/^(GET|HEAD) /.test(key) && needOf(...(key.split(" ") as [string, string])) === "viewer");
  assert.deepEqual(changes, ["POST /containers/:id/wait", "POST /v1/session/end"]);
  assert.equal(requiredRole("GET", "/no/such/route"), "admin");
  assert.equal(needOf("GET", "/docs/json"), "viewer");
  assert.equal(needOf("GET", "/docsomething"), undefined);
});

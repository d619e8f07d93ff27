import os from "node:os";
import type { Bus } from "@gantry/bus";
import type { ContentStore } from "@gantry/content";
import { fail } from "@gantry/contracts";
import type { HttpClient } from "@gantry/http";
import type { Clock, Logger, Scope } from "@gantry/kernel";
import { type Static, Type as T } from "typebox";
import { Guard } from "./auth/guard.ts";
import type { Backend } from "./backend.ts";
import { EventHub } from "./event-hub.ts";
import { ExecNodes } from "./exec-nodes.ts";
import { createApp } from "./http/app.ts";
import { dockerRoutes } from "./http/routes.ts";
import { mountDashboard } from "./http/dashboard/mount.ts";
import { mountV1 } from "./http/v1/mount.ts";
import { LiveHub } from "./live/hub.ts";
import { busSource } from "./live/source.ts";
import { describeSelf } from "./self.ts";
import { listen } from "./server/listen.ts";
import type { ServerTls } from "./server/tls.ts";

/** Of TCP addresses. */
export const TcpConfig = T.Object({
  apiTlsCert: T.Optional(T.String({ description: "PEM file with the server certificate of TCP addresses, and those between it and its CA" })),
  apiTlsKey: T.Optional(T.String({ description: "PEM file with its key" })),
  apiTlsClientCa: T.Optional(T.String({ description: "PEM file with CAs whose client certificates are logins; their role is the organizational unit, if it is viewer, builder or admin" })),
  apiTlsClientRole: T.Optional(T.Union([T.Literal("viewer"), T.Literal("builder"), T.Literal("admin")], { description: "role of other client certificates; default: admin" })),
  apiNames: T.Optional(T.Array(T.String(), { description: "names that the Host header may have, beside those of the certificate: of a proxy before the API" })),
});

export const Config = T.Object({
  listen: T.Array(T.String(), { minItems: 1, description: "unix:/path (mode 0660, group docker), host:port, http://host:port or https://host:port; without TLS on loopback only" }),
  ...TcpConfig.properties,
  imageStore: T.String({ description: "address of the image store's HTTP routes: unix:/path or http(s)://host:port" }),
  rootDir: T.String({ default: "/var/lib/gantry", description: "state directory, as docker info shows it" }),
  instance: T.String({ default: "", description: "instance ID, as docker info shows it" }),
  hostname: T.Optional(T.String({ description: "name of this machine; default: its hostname" })),
  maxContextBytes: T.Integer({ default: 8 * 1024 * 1024 * 1024, minimum: 1024, description: "largest build context that is taken" }),
  dashboardDir: T.Optional(T.String({ description: "directory of the built dashboard (services/dashboard/dist)" })),
  version: T.Optional(T.String({ description: "version that docker version shows; default: its own" })),
  gitCommit: T.Optional(T.String({ description: "commit that docker version shows" })),
});
export type Config = Static<typeof Config>;

export interface Ports {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For the routes of the other services. */
  readonly http: HttpClient;
  /** Where build contexts go. */
  readonly content: ContentStore;
}

export interface Api {
  /** Where it listens: `unix:/path`, `http://host:port`, `https://host:port`. */
  readonly addresses: readonly string[];
  /** Listens on one more address, until the API's scope ends; answers it as it is bound. Throws CONFLICT where another server has it. */
  listen(address: string): Promise<string>;
}

const VERSION = "0.1.0";

/** Serves the Docker Engine API. Holds no facts: what it is asked goes over the bus, what streams to the services' HTTP routes. */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<Api> {
  const logger = ports.logger.child({ service: "api" });
  const events = scope.use(await EventHub.open(ports.bus));
  const live = scope.use(new LiveHub({ source: busSource(ports), bus: ports.bus, events, clock: ports.clock, logger }));
  const guard = scope.use(await Guard.open({ ...ports, logger }));
  const backend: Backend = { ...ports, logger, events, live, guard, maxContextBytes: config.maxContextBytes, imageStore: { address: config.imageStore, identity: "service/image-store" } };
  const version = config.version ?? VERSION;
  const self = describeSelf({
    version, instance: config.instance, rootDir: config.rootDir, gitCommit: config.gitCommit ?? "", hostname: config.hostname ?? os.hostname(),
  });
  const routes = dockerRoutes({ ...backend, self, execNodes: new ExecNodes(ports.bus) });
  const app = await createApp(routes, { serverHeader: `Gantry/${version} (linux)`, logger, guard, mount: (it) => {
    mountV1(it, backend, version);
    mountDashboard(it, config.dashboardDir ?? null);
  } });
  scope.defer(() => app.close());
  if (config.listen.length === 0) throw fail("INVALID", "the API has no address to listen on");
  const tls = await openTls(config, logger, scope);
  const names = (config.apiNames ?? []).map((name) => name.toLowerCase());
  const addresses: string[] = [];
  const listenOn = async (address: string): Promise<string> => {
    const listener = scope.use(await listen(address, app, { logger, tls, names }));
    addresses.push(listener.address);
    return listener.address;
  };
  for (const address of config.listen) await listenOn(address);
  logger.info({ addresses }, "the Docker Engine API is served");
  return { addresses, listen: listenOn };
}

/** Null where TLS is not configured. Loaded when it is used. */
async function openTls({ apiTlsCert, apiTlsKey, apiTlsClientCa, apiTlsClientRole }: Config, logger: Logger, scope: Scope): Promise<ServerTls | null> {
  if (apiTlsCert === undefined && apiTlsKey === undefined && apiTlsClientCa === undefined) return null;
  if (apiTlsCert === undefined || apiTlsKey === undefined) throw fail("INVALID", "TLS needs both GANTRY_API_TLS_CERT and GANTRY_API_TLS_KEY");
  const { ServerTls } = await import("./server/tls.ts");
  return scope.use(await ServerTls.open({ cert: apiTlsCert, key: apiTlsKey, clientCa: apiTlsClientCa ?? null, clientRole: apiTlsClientRole ?? "admin" }, { logger }));
}

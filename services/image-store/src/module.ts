import { relayOutbox } from "@gantry/database";
import { listen } from "@gantry/http";
import type { Scope } from "@gantry/kernel";
import { Type as T, type Static } from "typebox";
import { Catalog } from "./domain/catalog.ts";
import { commandRoutes } from "./handlers/commands.ts";
import { queryRoutes } from "./handlers/queries.ts";
import { registryQueries } from "./handlers/registries.ts";
import { createImageStoreApp, isBlobPath, isRegistryPath } from "./http/app.ts";
import { blobRoutes } from "./http/blobs.ts";
import { imageRoutes } from "./http/images.ts";
import { registryRoutes } from "./http/v2/routes.ts";
import { observeCatalog } from "./metrics.ts";
import type { Ports } from "./ports.ts";
import { Blobs } from "./store/blobs.ts";
import { Collector } from "./store/collector.ts";
import { ImageStore } from "./store/image-store.ts";
import { Repository } from "./store/repository.ts";
import { Uploads } from "./store/uploads.ts";
import { connector, parseEndpoints } from "./transfer/registries.ts";

export { migrations } from "./store/schema.ts";
export type { Tables } from "./store/schema.ts";
export type { Ports } from "./ports.ts";

export const Config = T.Object({
  listen: T.Array(T.String(), { description: "unix:/path or host:port, several with commas; off loopback it needs certificates" }),
  token: T.String({ default: "", description: "with it, docker, skopeo and others may use /v2/ over TCP: as a bearer token or as the password of docker login" }),
  insecureRegistries: T.Array(T.String(), { default: [], description: "host[:port] of registries that may be spoken to without TLS; loopback always may" }),
  registryEndpoints: T.Record(T.String(), T.String(), { default: {}, description: "domain=URL of registries that are reached under another name than images carry" }),
  maxBlobBytes: T.Integer({ default: 64 * 1024 ** 3, minimum: 1, description: "largest blob taken in, in bytes" }),
  blobGraceSeconds: T.Integer({ default: 3600, minimum: 0, description: "how long a blob that nothing refers to is kept, in seconds" }),
  collectSeconds: T.Integer({ default: 600, minimum: 1, description: "how often blobs that nothing refers to are looked for, in seconds" }),
});
export type Config = Static<typeof Config>;

export interface Running {
  /** Addresses as bound. */
  readonly addresses: readonly string[];
}

/** Loads the catalog, then serves the queue `image-store` and HTTP. */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<Running> {
  const { bus, clock, content, database } = ports;
  const logger = ports.logger.child({ service: "image-store" });
  const catalog = new Catalog();
  const repository = new Repository(database);
  const blobs = scope.use(new Blobs({ content, catalog, clock, logger, graceMs: config.blobGraceSeconds * 1000 }));
  const collector = scope.use(new Collector(blobs, { logger, everyMs: config.collectSeconds * 1000 }));
  const store = new ImageStore({ catalog, blobs, repository, clock, logger, onRelease: () => collector.soon() });
  catalog.apply(await repository.load());
  await store.dropIncomplete();
  scope.use(relayOutbox(database, bus, { logger }));
  observeCatalog(catalog, scope);

  const token = config.token === "" ? null : config.token;
  const app = createImageStoreApp({ logger, token });
  scope.defer(() => app.close());
  blobRoutes(app, store, config);
  const policy = { insecure: config.insecureRegistries, endpoints: parseEndpoints(config.registryEndpoints) };
  const connect = connector(policy, clock);
  imageRoutes(app, store, { connect, cache: ports.cache, maxBlobBytes: config.maxBlobBytes });
  registryRoutes(app, store, scope.use(new Uploads(blobs, clock, config.maxBlobBytes)));
  await app.ready();
  scope.use(await bus.serve("image-store", [...queryRoutes(store), ...commandRoutes(store, bus), ...registryQueries(connect)]));
  const addresses = await listen({
    addresses: config.listen, credentials: ports.credentials, logger, graceMs: 5_000,
    // What nodes read and write is known by its content; names are not theirs to give.
    allow: (path) => isBlobPath(path) ? ["service/api", "service/build", "node/*"] : ["service/api", "service/build"],
    // Guarded by the token.
    ...(token === null ? {} : { open: isRegistryPath }),
  }, { request: app.routing }, scope);
  return { addresses };
}

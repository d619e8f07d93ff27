import type { Backend } from "../backend.ts";
import type { Self } from "../domain/info.ts";
import type { ExecNodes } from "../exec-nodes.ts";
import { archiveRoutes } from "./archive.ts";
import { buildRoutes } from "./build.ts";
import { healthRoutes } from "./entrance.ts";
import { containerStreamRoutes } from "./container-streams.ts";
import { containerRoutes } from "./containers.ts";
import { eventRoutes } from "./events.ts";
import type { Route } from "./exchange.ts";
import { execRoutes } from "./exec.ts";
import { imageStreamRoutes } from "./image-streams.ts";
import { imageRoutes } from "./images.ts";
import { metricsRoutes } from "./metrics.ts";
import { networkRoutes } from "./networks.ts";
import { systemRoutes } from "./system.ts";
import { unsupportedRoutes } from "./unsupported.ts";
import { volumeRoutes } from "./volumes.ts";
import { waitRoutes } from "./wait.ts";

/** The whole route table of the Docker Engine API. */
export function dockerRoutes(backend: Backend & { readonly self: Self; readonly execNodes: ExecNodes }): Route[] {
  return [
    systemRoutes, eventRoutes, imageRoutes, imageStreamRoutes, buildRoutes, containerRoutes, containerStreamRoutes, archiveRoutes, waitRoutes, execRoutes,
    networkRoutes, volumeRoutes, metricsRoutes,
  ].flatMap((family) => family(backend)).concat(healthRoutes(), unsupportedRoutes());
}

import { join } from "node:path";
import type { Bus } from "@gantry/bus";
import type { ContentStore } from "@gantry/content";
import { fail } from "@gantry/contracts";
import type { DigestCache } from "@gantry/digest-cache";
import { advertised, type Credentials } from "@gantry/http";
import { KeyedMutex, retry, type Clock, type Logger, type Scope } from "@gantry/kernel";
import type { HostNetwork } from "@gantry/network";
import type { NativeFs, Runtime } from "@gantry/runtime";
import type { Snapshotter } from "@gantry/snapshots";
import { Type as T, type Static } from "typebox";
import type { Agent } from "./context.ts";
import { boundingSet } from "./describe.ts";
import { capabilitiesFromMask } from "./spec/capabilities.ts";
import { Execs } from "./execs.ts";
import { containerRoutes } from "./handlers/containers.ts";
import { execRoutes } from "./handlers/execs.ts";
import { networkRoutes, volumeRoutes } from "./handlers/networks.ts";
import { resyncRoutes } from "./handlers/resync.ts";
import { serveHttp } from "./http/server.ts";
import { observeContainers } from "./metrics.ts";
import { makeMountPoints } from "./mount-points.ts";
import { keepRegistered } from "./registration.ts";
import { Reporter } from "./reports.ts";
import { restore, startWithAgent } from "./restore.ts";
import { ContainerStore } from "./store.ts";
import { Volumes } from "./volumes.ts";

export const Config = T.Object({
  nodeId: T.String({ pattern: "^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$", description: "name of this node: unique in the fleet, the same after a restart" }),
  stateDir: T.String({ minLength: 1, description: "directory of containers, layers and volumes" }),
  listen: T.String({ minLength: 1, description: "unix:/path or host:port to serve streams on; off loopback it needs certificates" }),
  address: T.String({ default: "", description: "address at which others reach this agent, where it is not the one listened on" }),
  instance: T.String({ pattern: "^[0-9a-f]{8}$", description: "8 hex digits that the names of bridges and firewall tables on this host carry" }),
  cgroupParent: T.String({ default: "gantry", minLength: 1, description: "parent of containers' cgroups, relative to each hierarchy" }),
  labels: T.Record(T.String(), T.String(), { default: {}, description: "labels of the node, as disk=ssd,zone=a" }),
  concurrency: T.Integer({ minimum: 1, maximum: 10_000, default: 512, description: "commands handled at once; a stop waits for its container" }),
});
export type Config = Static<typeof Config>;

/** Deliveries before a command is dead-lettered: each end of an agent that had it in hand is one. */
const ATTEMPTS = 5;

export interface Ports {
  /** The agent begins without it while it is a promise. */
  readonly bus: Bus | Promise<Bus>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The image store's blobs. */
  readonly content: ContentStore;
  readonly cache: DigestCache;
  /** For TLS on TCP; null: TCP is in the clear, and loopback only. */
  readonly credentials: Credentials | null;
  readonly snapshots: Snapshotter;
  readonly native: NativeFs;
  readonly runtime: Runtime;
  readonly network: HostNetwork;
}

/**
 * Finds the containers of an earlier agent and looks after them, serves HTTP; as soon as there is a bus, serves `node.<id>` and
 * registers with the scheduler. Containers run on when the scope ends.
 */
export async function start(config: Config, ports: Ports, scope: Scope): Promise<void> {
  const logger = ports.logger.child({ service: "node-agent", node: config.nodeId });
  const stopping = new AbortController();
  const mask = await boundingSet();
  const { bus: given, ...others } = ports;
  const agent: Agent = {
    ...others, logger, reporter: new Reporter(ports.clock, logger), nodeId: config.nodeId, instance: config.instance, cgroupParent: config.cgroupParent, mountPoints: makeMountPoints(join(config.stateDir, "mount-points")),
    heldCapabilities: mask === null ? null : capabilitiesFromMask(mask),
    store: new ContainerStore(join(config.stateDir, "containers"), logger), volumes: new Volumes(join(config.stateDir, "volumes"), logger),
    execs: new Execs(), entries: new Map(), ensured: new Map(), heard: new Map(), order: new KeyedMutex(), stopping: stopping.signal, epoch: 0,
  };
  await Promise.all([agent.store.open(), agent.volumes.open()]);
  agent.epoch = await agent.store.epoch();
  await restore(agent);
  observeContainers(agent, scope);
  const bound = await serveHttp(agent, config.listen, ports.credentials, scope);
  startWithAgent(agent);
  const identity = { address: advertised(bound, config.address, ports.credentials), labels: config.labels, stateDir: config.stateDir };
  /** What there is once there is a bus: it ends after `stopping`, whenever it came. */
  const connected = scope.use(new AsyncDisposableStack());
  const online = async (bus: Bus): Promise<void> => {
    agent.reporter.connect(bus);
    connected.use(await bus.serve(`node.${config.nodeId}`, [
      ...containerRoutes(agent), ...execRoutes(agent), ...networkRoutes(agent), ...volumeRoutes(agent), ...resyncRoutes(agent),
    ], { exclusive: true, concurrency: config.concurrency, maxAttempts: ATTEMPTS }));
    keepRegistered(agent, bus, identity, connected);
  };
  if (given instanceof Promise) {
    given.then((bus) => retry(() => online(bus), {
      clock: ports.clock, attempts: Number.POSITIVE_INFINITY, baseMs: 200, maxMs: 5_000, signal: stopping.signal,
      onRetry: (e) => logger.warn({ err: e }, "the agent cannot take commands yet; it is tried again"),
    })).catch((e: unknown) => {
      if (!stopping.signal.aborted) logger.error({ err: e }, "the agent has no bus, and stays alone");
    });
  } else {
    await online(given);
  }
  // First of all when the scope ends.
  scope.defer(() => stopping.abort(fail("UNAVAILABLE", "the node agent is being stopped")));
}

import { Type as T, type Static } from "typebox";
import { Id, Nullable, Opaque, Ref, StringMap } from "./common.ts";
import { ContainerState } from "./container.ts";
import { command, event, query } from "./message.ts";

/** A host as its agent describes it. `address`: the agent's HTTP base (`unix:/path` or `http(s)://host:port`). */
export const NodeDescription = T.Object({
  nodeId: T.String({ pattern: "^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$" }),
  hostname: T.String(),
  address: T.String(),
  cpus: T.Integer(),
  memoryBytes: T.Integer(),
  labels: T.Record(T.String(), T.String()),
  /** For `docker info`: kernel, OS name, architecture, cgroup version and driver, root directory; `subnets`: those the host uses. */
  platform: Opaque,
  /** The agent's. */
  version: T.Optional(T.String()),
  /** The file system of its state directory. */
  storage: T.Optional(T.Object({ driver: T.String(), totalBytes: T.Integer() })),
});
export type NodeDescription = Static<typeof NodeDescription>;

/** Sent at start and after a reconnect. The reply's epoch is the lowest that the node may obey. */
export const nodeRegister = command("scheduler.node.register.v1", NodeDescription, 
  T.Object({ epoch: T.Integer(), heartbeatMs: T.Integer(),
    /** Network records (docker.ts NetworkResource) whose bridges the node keeps ready. */
    networks: T.Array(Opaque) }));
export const nodeHeartbeat = event("node.heartbeat.v1", T.Object({ nodeId: T.String(), running: T.Integer(), memoryUsedBytes: T.Integer(),
  /** The load average of one minute. */
  cpuLoad: T.Optional(T.Number()), diskFreeBytes: T.Optional(T.Integer()) }));
/** What a scheduler says to itself over the broker: as long as it does not hear that, it cannot tell whether nodes are silent. */
export const schedulerEcho = event("scheduler.echo.v1", T.Object({ instance: T.String() }));
/** Asked by a scheduler that may have lost track: every container the node has, with the number of its last report. */
export const nodeResync = command("node.resync.v1", T.Object({ epoch: T.Integer() }),
  T.Object({ containers: T.Array(T.Object({ id: Id, seq: T.Integer(), state: ContainerState })) }));

/** A node as the scheduler sees it. Times are RFC 3339. */
export const NodeView = T.Object({
  id: T.String(),
  /** Its host name. */
  name: T.String(),
  address: T.String({ description: "the agent's HTTP base: unix:/path or http(s)://host:port" }),
  state: T.Union([T.Literal("ready"), T.Literal("unreachable")]),
  since: T.String({ description: "since when it is in this state" }),
  availability: T.Union([T.Literal("active"), T.Literal("drain")], { description: "drain: what is there stays, nothing new is placed there" }),
  registeredAt: T.String(),
  version: T.String({ description: "the agent's" }),
  labels: StringMap,
  platform: Opaque,
  capacity: T.Object({ cpus: T.Integer(), memoryBytes: T.Integer(), diskBytes: Nullable(T.Integer()) }),
  reserved: T.Object({ cpus: T.Number(), memoryBytes: T.Integer() }, { description: "what is set aside for its containers" }),
  used: T.Object({ memoryBytes: Nullable(T.Integer()), cpuLoad: Nullable(T.Number()), diskFreeBytes: Nullable(T.Integer()) },
    { description: "as of the last heartbeat: memory in use, load average of one minute, free bytes of its storage" }),
  containers: T.Object({ total: T.Integer(), running: T.Integer() }),
});
export type NodeView = Static<typeof NodeView>;

export const nodeList = query("scheduler.node.list.v1", T.Object({}), T.Object({ nodes: T.Array(NodeView) }));
/** By ID, host name or unique prefix of an ID. NO_SUCH_NODE. */
export const nodeInspect = query("scheduler.node.inspect.v1", T.Object({ ref: Ref }), T.Object({ node: NodeView }));
export const nodeUpdate = command("scheduler.node.update.v1", T.Object({ ref: Ref, availability: NodeView.properties.availability }), T.Object({ node: NodeView }));

/** Why a container is where it is: what was found of each node when it was created. Scores are best first. */
export const containerPlacement = query("scheduler.container.placement.v1", T.Object({ ref: Ref }), T.Object({
  containerId: Id,
  name: T.String(),
  nodeId: T.String(),
  decidedAt: T.String({ description: "RFC 3339" }),
  rejected: T.Array(T.Object({ nodeId: T.String(), filter: T.String(), reason: T.String() })),
  scores: T.Array(T.Object({ nodeId: T.String(), score: T.Number(), parts: T.Record(T.String(), T.Number()) })),
}));

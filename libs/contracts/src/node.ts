import { Type as T, type Static } from "typebox";
import { Id, Opaque } from "./common.ts";
import { ContainerState } from "./container.ts";
import { command, event } from "./message.ts";

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
});
export type NodeDescription = Static<typeof NodeDescription>;

/** Sent at start and after a reconnect. The reply's epoch is the lowest that the node may obey. */
export const nodeRegister = command("scheduler.node.register.v1", NodeDescription, 
  T.Object({ epoch: T.Integer(), heartbeatMs: T.Integer(),
    /** Network records (docker.ts NetworkResource) whose bridges the node keeps ready. */
    networks: T.Array(Opaque) }));
export const nodeHeartbeat = event("node.heartbeat.v1", T.Object({ nodeId: T.String(), running: T.Integer(), memoryUsedBytes: T.Integer() }));
/** Asked by a scheduler that may have lost track: every container the node has, with the number of its last report. */
export const nodeResync = command("node.resync.v1", T.Object({ epoch: T.Integer() }),
  T.Object({ containers: T.Array(T.Object({ id: Id, seq: T.Integer(), state: ContainerState })) }));

import { Type as T, type Static } from "typebox";
import { BuildState } from "./build.ts";
import { Id, Nullable } from "./common.ts";
import { query } from "./message.ts";

/** Rows of an overview (`GET /v1/live`, the dashboard). Times in milliseconds since 1970, memory in bytes. */

export const NodeRow = T.Object({
  id: T.String(),
  name: T.String(),
  /** Of its host, without scheme and port; empty on the host of the API itself. */
  address: T.String(),
  /** `ready`, `drained` (takes no new containers), `unreachable`. */
  state: T.String(),
  /** When it came into this state. */
  since: Nullable(T.Integer()),
  cpus: T.Integer(),
  memory: T.Integer(),
  memoryUsed: Nullable(T.Integer()),
});
export type NodeRow = Static<typeof NodeRow>;

/** In Docker's words. */
export const ContainerRow = T.Object({
  id: Id,
  name: T.String(),
  image: T.String(),
  command: T.String(),
  /** ID of its node. */
  node: T.String(),
  state: T.String(),
  /** Of a running container with a health check: starting, healthy, unhealthy. */
  health: Nullable(T.String()),
  /** Of one that has ended. */
  exitCode: Nullable(T.Integer()),
  created: T.Integer(),
  /** When it started or ended; null before its first start. */
  since: Nullable(T.Integer()),
  ports: T.Array(T.Object({ ip: T.String(), privatePort: T.Integer(), publicPort: Nullable(T.Integer()), type: T.String() })),
});
export type ContainerRow = Static<typeof ContainerRow>;

export const BuildRow = T.Object({
  id: Id,
  state: BuildState,
  tags: T.Array(T.String()),
  step: T.Integer(),
  steps: T.Integer(),
  worker: Nullable(T.String()),
  attempts: T.Integer(),
  error: Nullable(T.String()),
  created: T.Integer(),
  started: Nullable(T.Integer()),
  finished: Nullable(T.Integer()),
});
export type BuildRow = Static<typeof BuildRow>;

/** The newest `limit` containers, or those of `ids` that exist. */
export const containerRows = query("scheduler.container.rows.v1",
  T.Object({ ids: Nullable(T.Array(Id, { maxItems: 1000 })), limit: T.Integer({ minimum: 1, maximum: 10_000 }) }), T.Object({ rows: T.Array(ContainerRow) }));

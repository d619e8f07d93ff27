import { Type as T, type Static } from "typebox";
import { Digest, Empty, Filters, Id, Nullable, Opaque, Ref, StringMap } from "./common.ts";
import { ResolvedImage } from "./image.ts";
import { command, event, query } from "./message.ts";

/** Docker's create body: `Config` fields, `HostConfig`, `NetworkingConfig`. Read field by field by the scheduler's domain. */
export const CreateBody = Opaque;

export const containerCreate = command("scheduler.container.create.v1",
  T.Object({ id: Id, name: Nullable(T.String()), body: CreateBody,
    /** `--platform os/arch[/variant]`; absent: any that the image has. */
    platform: T.Optional(T.String()) }),
  T.Object({ id: Id, warnings: T.Array(T.String()) }));
export const containerStart = command("scheduler.container.start.v1", T.Object({ ref: Ref }), T.Object({ alreadyStarted: T.Boolean() }));
/** `timeout` in seconds; null: the container's own StopTimeout, else 10. `signal` null: the container's StopSignal, else SIGTERM. */
export const containerStop = command("scheduler.container.stop.v1",
  T.Object({ ref: Ref, timeout: Nullable(T.Integer()), signal: Nullable(T.String()) }), T.Object({ alreadyStopped: T.Boolean() }));
export const containerRestart = command("scheduler.container.restart.v1",
  T.Object({ ref: Ref, timeout: Nullable(T.Integer()), signal: Nullable(T.String()) }), Empty);
export const containerKill = command("scheduler.container.kill.v1", T.Object({ ref: Ref, signal: T.String() }), Empty);
export const containerPause = command("scheduler.container.pause.v1", T.Object({ ref: Ref, paused: T.Boolean() }), Empty);
export const containerRemove = command("scheduler.container.remove.v1",
  T.Object({ ref: Ref, force: T.Boolean(), volumes: T.Boolean() }), Empty);
export const containerRename = command("scheduler.container.rename.v1", T.Object({ ref: Ref, name: T.String() }), Empty);
/** `body`: the fields of Docker's HostConfig that `docker update` may change; 0, "" and null leave a field as it is. */
export const containerUpdate = command("scheduler.container.update.v1", T.Object({ ref: Ref, body: Opaque }), T.Object({ warnings: T.Array(T.String()) }));
export const containerPrune = command("scheduler.container.prune.v1", T.Object({ filters: Filters }),
  T.Object({ ids: T.Array(Id), spaceReclaimed: T.Integer() }));

/** Rows of `GET /containers/json`. `size` asks for SizeRw and SizeRootFs. */
export const containerList = query("scheduler.container.list.v1",
  T.Object({ all: T.Boolean(), limit: Nullable(T.Integer()), size: T.Boolean(), filters: Filters }), T.Object({ containers: T.Array(Opaque) }));
/** Body of `GET /containers/{id}/json`. */
export const containerInspect = query("scheduler.container.inspect.v1", T.Object({ ref: Ref, size: T.Boolean() }), T.Object({ container: Opaque }));

/** Where a container is, for streams and for waiting. `address` is the agent's HTTP base: `unix:/path` or `http(s)://host:port`. */
export const containerLocate = query("scheduler.container.locate.v1", T.Object({ ref: Ref }),
  T.Object({
    id: Id, name: T.String(), nodeId: T.String(), address: T.String(), tty: T.Boolean(), openStdin: T.Boolean(),
    status: T.String(), exitCode: T.Integer(), error: T.String(), autoRemove: T.Boolean(), startedAt: T.String(), finishedAt: T.String(),
    image: T.String(), labels: StringMap,
    /** Why its node cannot be reached, as an error says it; absent when it can. */
    unreachable: T.Optional(T.String()),
  }));

/** Containers that use an image, for `docker image rm`. */
export const containersUsingImage = query("scheduler.image.uses.v1", T.Object({ imageIds: T.Array(Digest) }),
  T.Object({ uses: T.Array(T.Object({ containerId: Id, imageId: Digest, imageRef: T.String(), running: T.Boolean() })) }));

export const schedulerInfo = query("scheduler.info.v1", Empty,
  T.Object({ containers: T.Integer(), running: T.Integer(), paused: T.Integer(), stopped: T.Integer(), nodes: T.Array(Opaque) }));

/** `POST /commit`: the node diffs the container, the layer goes to the image store, the scheduler gives the new image's config. */
export const containerCommit = command("scheduler.container.commit.v1",
  T.Object({ ref: Ref, repo: Nullable(T.String()), tag: Nullable(T.String()), author: T.String(), comment: T.String(), pause: T.Boolean(),
    changes: T.Array(T.String()), config: Nullable(Opaque) }),
  T.Object({ id: Digest }));

export const Port = T.Object({ ip: T.String(), privatePort: T.Integer(), publicPort: Nullable(T.Integer()), protocol: T.String() });

/** Docker's State plus what only the node knows. Times are RFC 3339 with nanoseconds. */
export const ContainerState = T.Object({
  status: T.Union([T.Literal("created"), T.Literal("running"), T.Literal("paused"), T.Literal("restarting"), T.Literal("removing"), T.Literal("exited"), T.Literal("dead")]),
  pid: T.Integer(),
  exitCode: T.Integer(),
  error: T.String(),
  oomKilled: T.Boolean(),
  startedAt: T.String(),
  finishedAt: T.String(),
  restartCount: T.Integer(),
  /** Docker's NetworkSettings.Networks and .Ports, as the node set them up. */
  networks: Opaque,
  ports: Opaque,
  /** Docker's Mounts rows. */
  mounts: T.Array(Opaque),
  /** Paths on the node, for inspect: LogPath, HostsPath, HostnamePath, ResolvConfPath. */
  paths: StringMap,
  /** Docker's State.Health (`{Status, FailingStreak, Log}`); null without a health check. */
  health: Nullable(Opaque),
});
export type ContainerState = Static<typeof ContainerState>;

// ---- scheduler → node.<id> ----

/** All a node needs: `config` is docker.ts ContainerConfig merged with the image's, `hostConfig` its HostConfig, both complete. */
export const NodeContainerSpec = T.Object({
  id: Id,
  name: T.String(),
  epoch: T.Integer(),
  config: Opaque,
  hostConfig: Opaque,
  /** In the order of connecting, the network mode's own first: docker.ts NetworkResource and EndpointSettings. */
  networks: T.Array(T.Object({ network: Opaque, endpoint: Opaque })),
  image: ResolvedImage,
  /** Every mount point, resolved by the scheduler (docker.ts MountPoint). */
  mounts: T.Array(Opaque),
});
export type NodeContainerSpec = Static<typeof NodeContainerSpec>;

const Target = { id: Id, epoch: T.Integer() };
export const nodeContainerCreate = command("node.container.create.v1", NodeContainerSpec, T.Object({ state: ContainerState, seq: T.Integer(), warnings: T.Array(T.String()) }));
export const nodeContainerStart = command("node.container.start.v1", T.Object(Target), T.Object({ state: ContainerState, seq: T.Integer(), alreadyStarted: T.Boolean() }));
export const nodeContainerStop = command("node.container.stop.v1",
  T.Object({ ...Target, timeout: Nullable(T.Integer()), signal: Nullable(T.String()) }), T.Object({ state: ContainerState, seq: T.Integer(), alreadyStopped: T.Boolean() }));
export const nodeContainerKill = command("node.container.kill.v1", T.Object({ ...Target, signal: T.String() }), Empty);
export const nodeContainerPause = command("node.container.pause.v1", T.Object({ ...Target, paused: T.Boolean() }), T.Object({ state: ContainerState, seq: T.Integer() }));
export const nodeContainerRename = command("node.container.rename.v1", T.Object({ ...Target, name: T.String() }), Empty);
/** `hostConfig` in place of the one before; limits hold at once for a container that runs. */
export const nodeContainerUpdate = command("node.container.update.v1", T.Object({ ...Target, hostConfig: Opaque }), Empty);
export const nodeContainerRemove = command("node.container.remove.v1", T.Object({ ...Target, force: T.Boolean(), volumes: T.Boolean() }), T.Object({ removedVolumes: T.Array(T.String()) }));
/** Diffs the writable layer into the image store. */
export const nodeContainerDiff = command("node.container.diff.v1", T.Object({ ...Target, pause: T.Boolean() }),
  T.Object({ diffId: Digest, digest: Digest, mediaType: T.String(), blobSize: T.Integer(), size: T.Integer(), empty: T.Boolean() }));
export const nodeContainerSize = query("node.container.size.v1", T.Object({ id: Id }), T.Object({ sizeRw: T.Integer(), sizeRootFs: T.Integer() }));

// ---- api → node.<id> ----

/** `ps` run on the host over the container's PIDs, as `docker top`. */
export const nodeContainerTop = query("node.container.top.v1", T.Object({ id: Id, psArgs: T.String() }),
  T.Object({ Titles: T.Array(T.String()), Processes: T.Array(T.Array(T.String())) }));
/** Rows of `GET /containers/{id}/changes`: Kind 0 modified, 1 added, 2 deleted. */
export const nodeContainerChanges = query("node.container.changes.v1", T.Object({ id: Id }),
  T.Object({ changes: T.Array(T.Object({ Path: T.String(), Kind: T.Integer() })) }));
export const nodeContainerResize = command("node.container.resize.v1", T.Object({ id: Id, height: T.Integer(), width: T.Integer() }), Empty);
/** `config` is Docker's ExecConfig. */
export const nodeExecCreate = command("node.exec.create.v1", T.Object({ execId: Id, containerId: Id, config: Opaque }), T.Object({ execId: Id }));
export const nodeExecInspect = query("node.exec.inspect.v1", T.Object({ execId: Id }), T.Object({ exec: Opaque }));
export const nodeExecResize = command("node.exec.resize.v1", T.Object({ execId: Id, height: T.Integer(), width: T.Integer() }), Empty);

// ---- node → everyone ----

/** `seq` only grows for one container over its life, also across restarts of the agent; the scheduler applies newer ones only. */
export const nodeContainerReport = event("node.container.report.v1",
  T.Object({ nodeId: T.String(), containerId: Id, seq: T.Integer(), state: ContainerState,
    /** What happened, in Docker's event words (`die`, `oom`, `health_status: healthy`), with event attributes; null: state only. */
    action: Nullable(T.String()), attributes: StringMap }));
/** An exec started or ended, or another thing for `docker events` that changes no state. */
export const nodeContainerNotice = event("node.container.notice.v1",
  T.Object({ nodeId: T.String(), containerId: Id, action: T.String(), attributes: StringMap }));

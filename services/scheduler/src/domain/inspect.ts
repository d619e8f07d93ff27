import type { EndpointSettings, PortMap } from "@gantry/contracts";
import type { NodeRecord } from "./node.ts";
import { isRunning } from "./state.ts";
import type { ContainerRecord } from "./record.ts";

/** The program and its arguments: Docker's Path and Args, from Entrypoint and Cmd. */
export function commandOf(record: ContainerRecord): string[] {
  return [...(record.spec.config.Entrypoint ?? []), ...(record.spec.config.Cmd ?? [])];
}

/** Mount rows as inspect and ps show them: those of the node, or before the node has made them, those asked for. */
export function mountRows(record: ContainerRecord): Record<string, unknown>[] {
  if (record.state.mounts.length > 0) return record.state.mounts;
  return record.spec.mounts.filter((mount) => !Object.hasOwn(record.spec.hostConfig.Tmpfs, mount.Destination)).map((mount) => ({
    Type: mount.Type, ...(mount.Name === "" ? {} : { Name: mount.Name }), Source: mount.Source, Destination: mount.Destination,
    ...(mount.Driver === "" ? {} : { Driver: mount.Driver }), Mode: mount.Mode, RW: mount.RW, Propagation: mount.Propagation,
  }));
}

/** Networks by name: what was asked for, over it what the node set up. */
export function networksOf(record: ContainerRecord): Record<string, EndpointSettings> {
  const actual = record.state.networks as Record<string, EndpointSettings>;
  return Object.fromEntries(record.spec.networks.map(({ id, name, endpoint }) => [name, { ...endpoint, NetworkID: id, ...actual[name] }]));
}

function portsOf(record: ContainerRecord): PortMap {
  if (!isRunning(record.state)) return {};
  const exposed: PortMap = Object.fromEntries(Object.keys(record.spec.config.ExposedPorts).map((port) => [port, null]));
  return { ...exposed, ...(record.state.ports as PortMap) };
}

/** Body of `GET /containers/{id}/json` as Docker 28 (API 1.51) gives it, and `Node` as classic Swarm. `sizes` only where asked for. */
export function inspectContainer(record: ContainerRecord, sizes: { sizeRw: number; sizeRootFs: number } | null, node: NodeRecord | null): Record<string, unknown> {
  const { state, spec } = record;
  const [path = "", ...args] = commandOf(record);
  const networks = networksOf(record);
  // Docker repeats the default bridge's addresses at the top level.
  const bridge = networks["bridge"];
  return {
    Id: record.id,
    Created: record.created,
    Path: path,
    Args: args,
    State: {
      Status: state.status,
      Running: isRunning(state) || state.status === "restarting",
      Paused: state.status === "paused",
      Restarting: state.status === "restarting",
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(state.health === null ? {} : { Health: state.health }),
    },
    Image: record.imageId,
    ResolvConfPath: state.paths["ResolvConfPath"] ?? "",
    HostnamePath: state.paths["HostnamePath"] ?? "",
    HostsPath: state.paths["HostsPath"] ?? "",
    LogPath: state.paths["LogPath"] ?? "",
    Name: `/${record.name}`,
    ...(node === null ? {} : { Node: shownNode(node) }),
    RestartCount: state.restartCount,
    Driver: "overlay2",
    Platform: spec.platform,
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: spec.hostConfig.Privileged ? "unconfined" : "",
    ExecIDs: null,
    HostConfig: { ...spec.hostConfig, ...shownPaths(record) },
    GraphDriver: { Data: null, Name: "overlay2" },
    ...(sizes === null ? {} : { SizeRw: sizes.sizeRw, SizeRootFs: sizes.sizeRootFs }),
    Mounts: mountRows(record),
    Config: shownConfig(record),
    NetworkSettings: {
      Bridge: "",
      SandboxID: isRunning(state) ? record.id : "",
      SandboxKey: state.pid > 0 ? `/proc/${state.pid}/ns/net` : "",
      Ports: portsOf(record),
      HairpinMode: false,
      LinkLocalIPv6Address: "",
      LinkLocalIPv6PrefixLen: 0,
      SecondaryIPAddresses: null,
      SecondaryIPv6Addresses: null,
      EndpointID: bridge?.EndpointID ?? "",
      Gateway: bridge?.Gateway ?? "",
      GlobalIPv6Address: bridge?.GlobalIPv6Address ?? "",
      GlobalIPv6PrefixLen: bridge?.GlobalIPv6PrefixLen ?? 0,
      IPAddress: bridge?.IPAddress ?? "",
      IPPrefixLen: bridge?.IPPrefixLen ?? 0,
      IPv6Gateway: bridge?.IPv6Gateway ?? "",
      MacAddress: bridge?.MacAddress ?? "",
      Networks: networks,
    },
  };
}

function shownNode({ description, state, since }: NodeRecord): Record<string, unknown> {
  const { nodeId, hostname, address, cpus, memoryBytes, labels } = description;
  return { ID: nodeId, Name: hostname, Addr: address, Cpus: cpus, Memory: memoryBytes, Labels: labels, State: state, Since: since };
}

const MASKED = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
  "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"];
const READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** The paths in force: Docker's defaults where nothing was given, none with `--privileged`. */
function shownPaths(record: ContainerRecord) {
  const host = record.spec.hostConfig;
  const none = host.Privileged || (host.SecurityOpt ?? []).includes("systempaths=unconfined");
  return {
    MaskedPaths: none ? null : host.MaskedPaths ?? MASKED,
    ReadonlyPaths: none ? null : host.ReadonlyPaths ?? READONLY,
  };
}

/** Config without the fields that Docker leaves out when they are empty. */
function shownConfig(record: ContainerRecord): Record<string, unknown> {
  const { ExposedPorts, Healthcheck, ArgsEscaped, NetworkDisabled, StopSignal, StopTimeout, Shell, Hostname, ...rest } = record.spec.config;
  return {
    Hostname: Hostname || (record.spec.hostConfig.UTSMode === "host" ? "" : record.id.slice(0, 12)),
    ...rest,
    ...(Object.keys(ExposedPorts).length > 0 ? { ExposedPorts } : {}),
    ...(Healthcheck === null ? {} : { Healthcheck }),
    ...(ArgsEscaped ? { ArgsEscaped } : {}),
    ...(NetworkDisabled ? { NetworkDisabled } : {}),
    ...(StopSignal === "" ? {} : { StopSignal }),
    ...(StopTimeout === null ? {} : { StopTimeout }),
    ...(Shell === null ? {} : { Shell }),
  };
}

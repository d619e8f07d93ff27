import { logBoundOf, type ContainerConfig, type HostConfig } from "@gantry/contracts";
import { DEFAULT_DEVICES, DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from "@gantry/runtime";
import type { ContainerSpec, Device, IdMapping, Mount, NetworkInterface, Rootfs } from "@gantry/runtime";
import { capabilitiesOf } from "./capabilities.ts";
import { containerEnvironment } from "./environment.ts";
import { cgroupOf, cgroupPath } from "./resources.ts";
import { readSecurityOptions } from "./security.ts";

export interface SpecInputs {
  readonly id: string;
  readonly dir: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly rootfs: Rootfs;
  readonly mounts: readonly Mount[];
  /** Devices of `--device`, or every device of the host when privileged: looked up by the caller. */
  readonly devices: readonly Device[];
  readonly interfaces: readonly NetworkInterface[];
  readonly dns: boolean;
  /** PIDs of the containers whose namespaces are joined (`container:<id>`), null otherwise. */
  readonly joined: { readonly network: number | null; readonly ipc: number | null; readonly pid: number | null };
  readonly hostname: string;
  /** Parent of the container's cgroup where `--cgroup-parent` names none. */
  readonly cgroupParent: string;
  /** Capabilities that this agent holds itself; null: all. */
  readonly heldCapabilities: ReadonlySet<string> | null;
  /** With a user namespace (`--userns private`). */
  readonly mappings: readonly IdMapping[];
}

/** What the runtime starts, from Docker's Config and HostConfig. Pure: everything from the host comes in `inputs`. */
export function containerSpec(inputs: SpecInputs): ContainerSpec {
  const { config, hostConfig: host } = inputs;
  const security = readSecurityOptions(host.SecurityOpt ?? [], host.Privileged);
  const open = host.Privileged || security.systemPathsUnconfined;
  const [height, width] = host.ConsoleSize;
  return {
    id: inputs.id,
    dir: inputs.dir,
    args: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])],
    env: containerEnvironment({ hostname: inputs.hostname, terminal: config.Tty, env: config.Env }),
    cwd: config.WorkingDir === "" ? "/" : config.WorkingDir,
    user: config.User,
    additionalGroups: host.GroupAdd ?? [],
    hostname: host.UTSMode === "host" ? "" : inputs.hostname,
    domainname: host.UTSMode === "host" ? "" : config.Domainname,
    terminal: config.Tty,
    openStdin: config.OpenStdin,
    stdinOnce: config.StdinOnce,
    consoleHeight: height,
    consoleWidth: width,
    rootfs: inputs.rootfs,
    readonlyRootfs: host.ReadonlyRootfs,
    mounts: [...inputs.mounts],
    namespaces: {
      mount: "new",
      pid: host.PidMode === "host" ? "host" : namespaceOf(inputs.joined.pid, "pid"),
      network: host.NetworkMode === "host" ? "host" : namespaceOf(inputs.joined.network, "net"),
      ipc: host.IpcMode === "host" ? "host" : namespaceOf(inputs.joined.ipc, "ipc"),
      uts: host.UTSMode === "host" ? "host" : "new",
      cgroup: host.CgroupnsMode === "host" ? "host" : "new",
      user: inputs.mappings.length > 0 ? "new" : "host",
    },
    uidMappings: [...inputs.mappings],
    gidMappings: [...inputs.mappings],
    networks: [...inputs.interfaces],
    dns: inputs.dns,
    capabilities: capabilitiesOf(host, inputs.heldCapabilities),
    seccomp: security.seccomp,
    noNewPrivileges: security.noNewPrivileges,
    rlimits: host.Ulimits.map(({ Name, Soft, Hard }) => ({ type: Name, soft: Soft, hard: Hard })),
    sysctls: sysctlsOf(inputs),
    devices: [...DEFAULT_DEVICES, ...inputs.devices],
    maskedPaths: open ? [] : host.MaskedPaths ?? [...DEFAULT_MASKED_PATHS],
    readonlyPaths: open ? [] : host.ReadonlyPaths ?? [...DEFAULT_READONLY_PATHS],
    privileged: host.Privileged,
    init: host.Init === true,
    cgroup: cgroupOf(host, cgroupPath(host, inputs.cgroupParent, inputs.id), inputs.devices),
    oomScoreAdj: host.OomScoreAdj === 0 ? null : host.OomScoreAdj,
    umask: null,
    stopSignal: config.StopSignal === "" ? "SIGTERM" : config.StopSignal,
    log: logBoundOf(host.LogConfig),
  };
}

function namespaceOf(pid: number | null, kind: string): string {
  return pid === null ? "new" : `/proc/${pid}/ns/${kind}`;
}

/** Docker's defaults: ports below 1024 and ping for everyone, within a network of the container's own. */
function sysctlsOf({ hostConfig: host, joined, mappings }: SpecInputs): { name: string; value: string }[] {
  const ownNetwork = host.NetworkMode !== "host" && joined.network === null;
  const defaults: Record<string, string> = ownNetwork && !host.Privileged && mappings.length === 0
    ? { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" } : {};
  return Object.entries({ ...defaults, ...host.Sysctls }).map(([name, value]) => ({ name, value }));
}

import { DEFAULT_CAPABILITIES, DEFAULT_DEVICE_RULES, DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS, defaultDevices, defaultMounts } from "@gantry/runtime";
import type { ContainerSpec, Mount, Rootfs } from "@gantry/runtime";
import { shortId } from "@gantry/kernel";
import type { RunConfig } from "@gantry/oci";
import type { StepAttachment } from "../ports.ts";

export interface StepLimits {
  /** Bytes; 0: no limit. */
  readonly memory: number;
  readonly cpuShares: number;
  /** Bytes; 0: Docker's default. */
  readonly shmSize: number;
}

export interface RunSpecInput {
  readonly id: string;
  readonly dir: string;
  readonly args: readonly string[];
  /** Environment beside the image's: build arguments. */
  readonly env: readonly string[];
  readonly run: RunConfig;
  readonly rootfs: Rootfs;
  readonly network: StepAttachment;
  readonly limits: StepLimits;
  readonly cgroupParent: string;
  readonly mounts: readonly Mount[];
}

const bind = (source: string, destination: string): Mount => ({ destination, type: "bind", source, options: ["rbind", "rprivate"] });

/** The container of one RUN, with Docker's defaults. Its files hosts, hostname and resolv.conf are in `dir`. */
export function runSpec({ id, dir, args, env, run, rootfs, network, limits, cgroupParent, mounts }: RunSpecInput): ContainerSpec {
  const ownNetwork = network.namespace === "new";
  return {
    id, dir,
    args: [...args],
    env: [`HOSTNAME=${shortId(id)}`, ...(run.Env ?? []), ...env],
    cwd: run.WorkingDir || "/",
    user: run.User ?? "",
    additionalGroups: [],
    hostname: shortId(id),
    domainname: "",
    terminal: false,
    openStdin: false,
    stdinOnce: false,
    consoleHeight: 0,
    consoleWidth: 0,
    rootfs,
    readonlyRootfs: false,
    mounts: [
      ...defaultMounts(limits.shmSize > 0 ? { shmSize: limits.shmSize } : {}),
      bind(`${dir}/resolv.conf`, "/etc/resolv.conf"), bind(`${dir}/hostname`, "/etc/hostname"), bind(`${dir}/hosts`, "/etc/hosts"),
      ...mounts,
    ],
    namespaces: { mount: "new", pid: "new", network: network.namespace, ipc: "new", uts: "new", cgroup: "new", user: "host" },
    uidMappings: [],
    gidMappings: [],
    networks: [...network.networks],
    dns: false,
    capabilities: [...DEFAULT_CAPABILITIES],
    seccomp: true,
    noNewPrivileges: false,
    rlimits: [],
    sysctls: ownNetwork ? [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }, { name: "net.ipv4.ping_group_range", value: "0 2147483647" }] : [],
    devices: defaultDevices(),
    maskedPaths: [...DEFAULT_MASKED_PATHS],
    readonlyPaths: [...DEFAULT_READONLY_PATHS],
    privileged: false,
    init: false,
    cgroup: {
      path: `${cgroupParent}/${id}`,
      memory: limits.memory > 0 ? limits.memory : null, memorySwap: null, memoryReservation: null, pids: null,
      cpuShares: limits.cpuShares > 0 ? limits.cpuShares : null, cpuQuota: null, cpuPeriod: null, cpusetCpus: null, cpusetMems: null,
      blkioWeight: null, oomKillDisable: false,
      deviceRules: [...DEFAULT_DEVICE_RULES],
    },
    oomScoreAdj: null,
    umask: null,
    stopSignal: "SIGKILL",
    log: null,
  };
}

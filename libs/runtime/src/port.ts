import type { Duplex } from "node:stream";
import type { LogBound } from "@gantry/contracts";

/**
 * What one container is to the monitor. The field names and their order are those of the wire format and of the C struct
 * (native/src/spec.h): `T | null`, never optional.
 */
export interface ContainerSpec {
  /** 64 hex digits. */
  id: string;
  /** The container's own directory on the host, which exists: log, exit file and socket go there. */
  dir: string;
  args: string[];
  env: string[];
  cwd: string;
  /** Docker's `user[:group]`, names or numbers, looked up in the container's /etc/passwd and /etc/group. Empty: root. */
  user: string;
  additionalGroups: string[];
  hostname: string;
  domainname: string;
  terminal: boolean;
  /** Keep stdin open for attach (`-i`); otherwise it is /dev/null. `stdinOnce`: closed after the first attach ends. */
  openStdin: boolean;
  stdinOnce: boolean;
  consoleHeight: number;
  consoleWidth: number;
  rootfs: Rootfs;
  readonlyRootfs: boolean;
  mounts: Mount[];
  namespaces: Namespaces;
  /**
   * With a user namespace: ID mappings; empty without. The root file system is shown through an ID-mapped mount, so that snapshots
   * keep their owners; only where kernel or file system cannot do that they must be shifted. Sources of bind mounts are as they are.
   */
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
  networks: NetworkInterface[];
  /** Open 127.0.0.11:53 (UDP, TCP) in the container's network namespace and hand the sockets to the agent. */
  dns: boolean;
  capabilities: string[];
  /** true: Docker's default filter, for the capabilities given. false: unconfined. A JSON text: Docker's profile format. */
  seccomp: boolean | string;
  noNewPrivileges: boolean;
  /** Asked for, so that one that may not be raised fails the start; as does `oomScoreAdj`. -1: unlimited. */
  rlimits: { type: string; soft: number; hard: number }[];
  sysctls: { name: string; value: string }[];
  devices: Device[];
  maskedPaths: string[];
  readonlyPaths: string[];
  privileged: boolean;
  /** Run a tiny init as PID 1 (`--init`). */
  init: boolean;
  cgroup: Cgroup;
  oomScoreAdj: number | null;
  umask: number | null;
  stopSignal: string;
  /** Keep stdout and stderr in `dir/log` (format: native/shim/log.h); `maxBytes` 0: without a bound. null: not kept, as of build steps. */
  log: LogBound | null;
}

export interface Rootfs {
  base: string;
  lowers: string[];
  upper: string | null;
  work: string | null;
  volatile: boolean;
}

export interface Mount {
  destination: string;
  type: string;
  source: string;
  /** fstab words: `ro`, `nosuid`, `noexec`, `rbind`, `rprivate`, `size=64m` …. */
  options: string[];
}

/** `"new"`, `"host"`, or a path such as /proc/PID/ns/net to join. `user: "host"` means none of its own. */
export interface Namespaces { mount: string; pid: string; network: string; ipc: string; uts: string; cgroup: string; user: string }

export interface IdMapping { containerId: number; hostId: number; size: number }

/** A veth pair: `hostName` joins `bridge`; the peer becomes `name` inside. Addresses as `a.b.c.d/len`; default routes by `gateway` and, for IPv6, `gateway6`. */
export interface NetworkInterface {
  bridge: string; hostName: string; name: string; mac: string; addresses: string[]; gateway: string | null; gateway6: string | null;
  mtu: number;
}

export interface Device { path: string; type: "c" | "b"; major: number; minor: number; mode: number; uid: number; gid: number; access: string }

/** Limits; null: none. On v1 and v2 alike, as the host mounts them. */
export interface Cgroup {
  /** Relative to each hierarchy's mount: `<parent>/<container id>`. */
  path: string;
  memory: number | null; memorySwap: number | null; memoryReservation: number | null; pids: number | null;
  cpuShares: number | null; cpuQuota: number | null; cpuPeriod: number | null; cpusetCpus: string | null; cpusetMems: string | null;
  blkioWeight: number | null; oomKillDisable: boolean;
  deviceRules: string[];
}

export interface ExitStatus {
  /** 0 to 255; 128+n when killed by signal n. */
  exitCode: number;
  oomKilled: boolean;
  /** Nanoseconds since the epoch. */
  finishedAt: bigint;
  /** Why nothing better is known: the container's monitor was killed, and the container with it (exit code 137). */
  error?: string;
}

export interface AttachOptions {
  stdin: boolean; stdout: boolean; stderr: boolean;
}

/**
 * Starts and finds containers. All processes are cloned by the spawner (native/shim); nothing here forks Node.
 *
 * Errors of `start` are START_FAILED with Docker's words, `details.exitCode` 126 or 127 where Docker gives these.
 */
export interface Runtime extends AsyncDisposable {
  start(spec: ContainerSpec, options?: {
    /** Attached before the process runs, so that no output is lost; `attached` has one stream for each, in order. */
    attach?: readonly AttachOptions[];
  }): Promise<{ container: RunningContainer; attached: Duplex[] }>;
  /** After a restart of the agent: the running container of this directory, or how it ended; null when it was never started. */
  find(dir: string): Promise<RunningContainer | ExitStatus | null>;
}

export interface RunningContainer {
  readonly id: string;
  /** Of the container's first process, on the host. */
  readonly pid: number;
  /** Nanoseconds since the epoch. */
  readonly startedAt: bigint;
  /** What was asked for and this host cannot do, in Docker's words. */
  readonly warnings: readonly string[];
  /** Resolves when the process has ended, its output is in the log and its exit is on disk. Never rejects while the monitor lives. */
  readonly exited: Promise<ExitStatus>;
  /** Docker's raw stream: 8-byte stdcopy frames, or plain bytes with a terminal. Writing is stdin; `end()` closes it. */
  attach(options: AttachOptions): Promise<Duplex>;
  /** `signal` by number. NOT_RUNNING after the end. */
  kill(signal: number): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  resize(size: { height: number; width: number }): Promise<void>;
  exec(spec: ExecSpec): Promise<ExecProcess>;
  /** PIDs on the host, of every process in the container's cgroup. */
  pids(): Promise<number[]>;
  /** New limits for `docker update`. */
  update(cgroup: Cgroup): Promise<void>;
  /** The sockets bound at 127.0.0.11:53 inside, as file descriptors of this process; null without `dns` and when it has ended. The caller owns them. */
  dnsSockets(): Promise<{ udp: number; tcp: number } | null>;
}

export interface ExecSpec {
  id: string;
  args: string[];
  env: string[];
  cwd: string;
  user: string;
  additionalGroups: string[];
  terminal: boolean;
  consoleHeight: number;
  consoleWidth: number;
  stdin: boolean; stdout: boolean; stderr: boolean;
  privileged: boolean;
  capabilities: string[];
  noNewPrivileges: boolean;
}

export interface ExecProcess {
  readonly pid: number;
  /** As for {@link RunningContainer.attach}. */
  readonly stream: Duplex;
  readonly exited: Promise<ExitStatus>;
  resize(size: { height: number; width: number }): Promise<void>;
  kill(signal: number): Promise<void>;
}

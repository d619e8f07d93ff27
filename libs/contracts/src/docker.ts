/**
 * Shapes of the Docker Engine API (1.51) that scheduler and node-agent pass between them inside `Opaque` fields, after the
 * scheduler has read, checked and completed what a user sent: nothing is optional here.
 */

/** nat.PortSet and volume sets: `{"80/tcp": {}}`. */
export type NameSet = Record<string, Record<string, never>>;

export interface PortBinding { HostIp: string; HostPort: string }
/** `80/tcp` → bindings; null: exposed and not published. */
export type PortMap = Record<string, PortBinding[] | null>;

/** Durations in nanoseconds. Test: `[]` inherit, `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", line]`. */
export interface HealthConfig { Test: string[]; Interval: number; Timeout: number; StartPeriod: number; StartInterval: number; Retries: number }

export interface ContainerConfig {
  Hostname: string;
  Domainname: string;
  User: string;
  AttachStdin: boolean;
  AttachStdout: boolean;
  AttachStderr: boolean;
  ExposedPorts: NameSet;
  Tty: boolean;
  OpenStdin: boolean;
  StdinOnce: boolean;
  Env: string[];
  Cmd: string[] | null;
  Healthcheck: HealthConfig | null;
  ArgsEscaped: boolean;
  /** The reference the user gave. */
  Image: string;
  Volumes: NameSet | null;
  WorkingDir: string;
  Entrypoint: string[] | null;
  NetworkDisabled: boolean;
  OnBuild: string[] | null;
  Labels: Record<string, string>;
  StopSignal: string;
  StopTimeout: number | null;
  Shell: string[] | null;
}

export interface RestartPolicy { Name: "" | "no" | "always" | "on-failure" | "unless-stopped"; MaximumRetryCount: number }
export interface DeviceMapping { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }
export interface Ulimit { Name: string; Soft: number; Hard: number }
export interface ThrottleDevice { Path: string; Rate: number }
export interface WeightDevice { Path: string; Weight: number }
export interface DeviceRequest { Driver: string; Count: number; DeviceIDs: string[]; Capabilities: string[][]; Options: Record<string, string> }
export interface MountSpec {
  Type: "bind" | "volume" | "tmpfs";
  Source: string;
  Target: string;
  ReadOnly: boolean;
  Consistency: string;
  BindOptions: { Propagation: string; NonRecursive: boolean; CreateMountpoint: boolean } | null;
  VolumeOptions: { NoCopy: boolean; Labels: Record<string, string>; Subpath: string; DriverConfig: { Name: string; Options: Record<string, string> } | null } | null;
  TmpfsOptions: { SizeBytes: number; Mode: number } | null;
}

/** Docker's Resources and HostConfig. Memory in bytes, NanoCpus in 1e-9 CPUs; 0 (or null) means no limit. */
export interface HostConfig {
  CpuShares: number;
  Memory: number;
  NanoCpus: number;
  CgroupParent: string;
  BlkioWeight: number;
  BlkioWeightDevice: WeightDevice[];
  BlkioDeviceReadBps: ThrottleDevice[];
  BlkioDeviceWriteBps: ThrottleDevice[];
  BlkioDeviceReadIOps: ThrottleDevice[];
  BlkioDeviceWriteIOps: ThrottleDevice[];
  CpuPeriod: number;
  CpuQuota: number;
  CpuRealtimePeriod: number;
  CpuRealtimeRuntime: number;
  CpusetCpus: string;
  CpusetMems: string;
  Devices: DeviceMapping[];
  DeviceCgroupRules: string[] | null;
  DeviceRequests: DeviceRequest[] | null;
  MemoryReservation: number;
  MemorySwap: number;
  MemorySwappiness: number | null;
  OomKillDisable: boolean | null;
  PidsLimit: number | null;
  Ulimits: Ulimit[];
  CpuCount: number;
  CpuPercent: number;
  IOMaximumIOps: number;
  IOMaximumBandwidth: number;
  Binds: string[] | null;
  ContainerIDFile: string;
  LogConfig: { Type: string; Config: Record<string, string> };
  NetworkMode: string;
  PortBindings: PortMap;
  RestartPolicy: RestartPolicy;
  AutoRemove: boolean;
  VolumeDriver: string;
  VolumesFrom: string[] | null;
  ConsoleSize: [number, number];
  Annotations: Record<string, string>;
  CapAdd: string[] | null;
  CapDrop: string[] | null;
  CgroupnsMode: string;
  Dns: string[];
  DnsOptions: string[];
  DnsSearch: string[];
  ExtraHosts: string[] | null;
  GroupAdd: string[] | null;
  IpcMode: string;
  Cgroup: string;
  Links: string[] | null;
  OomScoreAdj: number;
  PidMode: string;
  Privileged: boolean;
  PublishAllPorts: boolean;
  ReadonlyRootfs: boolean;
  SecurityOpt: string[] | null;
  StorageOpt: Record<string, string>;
  Tmpfs: Record<string, string>;
  UTSMode: string;
  UsernsMode: string;
  ShmSize: number;
  Sysctls: Record<string, string>;
  Runtime: string;
  Isolation: string;
  Mounts: MountSpec[];
  /** null: Docker's defaults. */
  MaskedPaths: string[] | null;
  ReadonlyPaths: string[] | null;
  Init: boolean | null;
}

/** One resolved mount point of a container: what the node mounts, and what inspect shows. */
export interface MountPoint {
  Type: "bind" | "volume" | "tmpfs";
  /** Volume name; empty for others. */
  Name: string;
  /** Host path of a bind; empty for volumes (the node knows) and tmpfs. */
  Source: string;
  Destination: string;
  Driver: string;
  /** As in `-v src:dst:MODE`. */
  Mode: string;
  RW: boolean;
  Propagation: string;
  /** Made for this container: `docker rm -v` and `--rm` take it away. */
  Anonymous: boolean;
  /** Copy the image path's data into an empty new volume. */
  CopyUp: boolean;
  /** A missing bind source is made (`-v`), or is an error (`--mount`). */
  CreateSource: boolean;
  NonRecursive: boolean;
  Subpath: string;
  /** tmpfs: bytes (0: unlimited), mode, and further options as `--tmpfs` gives them. */
  TmpfsSize: number;
  TmpfsMode: number;
  TmpfsOptions: string[];
  /** Options of the local volume driver (`type`, `o`, `device`). */
  VolumeOptions: Record<string, string>;
}

/** As in Docker, what was not asked for is not there. */
export interface EndpointIpamConfig { IPv4Address?: string; IPv6Address?: string; LinkLocalIPs?: string[] }
/** Docker's EndpointSettings; the part before IPAMConfig's siblings is what the user asked for, the rest what the node set up. */
export interface EndpointSettings {
  IPAMConfig: EndpointIpamConfig | null;
  Links: string[] | null;
  Aliases: string[] | null;
  MacAddress: string;
  DriverOpts: Record<string, string> | null;
  GwPriority: number;
  NetworkID: string;
  EndpointID: string;
  Gateway: string;
  IPAddress: string;
  IPPrefixLen: number;
  IPv6Gateway: string;
  GlobalIPv6Address: string;
  GlobalIPv6PrefixLen: number;
  DNSNames: string[] | null;
}

export interface IpamPool { Subnet: string; IPRange?: string; Gateway?: string; AuxiliaryAddresses?: Record<string, string> }
/** Docker's Network resource, as the scheduler keeps it and a node gets it. */
export interface NetworkResource {
  Name: string;
  Id: string;
  Created: string;
  Scope: string;
  Driver: string;
  EnableIPv4: boolean;
  EnableIPv6: boolean;
  IPAM: { Driver: string; Options: Record<string, string> | null; Config: IpamPool[] };
  Internal: boolean;
  Attachable: boolean;
  Ingress: boolean;
  ConfigFrom: { Network: string };
  ConfigOnly: boolean;
  Options: Record<string, string>;
  Labels: Record<string, string>;
}

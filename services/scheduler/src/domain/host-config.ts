import type { DeviceMapping, DeviceRequest, HostConfig, MountSpec, PortMap, RestartPolicy, Ulimit } from "@gantry/contracts";
import { fail } from "@gantry/contracts";
import { checkPort } from "./config.ts";
import { checkLogConfig } from "./log-config.ts";
import { boolean, integer, list, map, nullable, object, string, stringMap, strings, type Json } from "./read.ts";

const DEFAULT_SHM = 64 * 1024 * 1024;

/** Docker's HostConfig as a client sends it, complete with the daemon's defaults, in the API's order of fields. */
export function readHostConfig(body: Json): HostConfig {
  const log = object(body["LogConfig"], "HostConfig.LogConfig");
  return {
    CpuShares: integer(body, "CpuShares"),
    Memory: integer(body, "Memory"),
    NanoCpus: integer(body, "NanoCpus"),
    CgroupParent: string(body, "CgroupParent"),
    BlkioWeight: integer(body, "BlkioWeight"),
    BlkioWeightDevice: list(body, "BlkioWeightDevice", (v, at) => ({ Path: string(object(v, at), "Path"), Weight: integer(object(v, at), "Weight") })),
    BlkioDeviceReadBps: throttles(body, "BlkioDeviceReadBps"),
    BlkioDeviceWriteBps: throttles(body, "BlkioDeviceWriteBps"),
    BlkioDeviceReadIOps: throttles(body, "BlkioDeviceReadIOps"),
    BlkioDeviceWriteIOps: throttles(body, "BlkioDeviceWriteIOps"),
    CpuPeriod: integer(body, "CpuPeriod"),
    CpuQuota: integer(body, "CpuQuota"),
    CpuRealtimePeriod: integer(body, "CpuRealtimePeriod"),
    CpuRealtimeRuntime: integer(body, "CpuRealtimeRuntime"),
    CpusetCpus: string(body, "CpusetCpus"),
    CpusetMems: string(body, "CpusetMems"),
    Devices: list(body, "Devices", readDevice),
    DeviceCgroupRules: nullable(body, "DeviceCgroupRules", strings),
    DeviceRequests: nullable(body, "DeviceRequests", (b, f) => list(b, f, readDeviceRequest)),
    MemoryReservation: integer(body, "MemoryReservation"),
    MemorySwap: integer(body, "MemorySwap"),
    MemorySwappiness: nullable(body, "MemorySwappiness", integer),
    OomKillDisable: nullable(body, "OomKillDisable", boolean),
    PidsLimit: nullable(body, "PidsLimit", integer),
    Ulimits: list(body, "Ulimits", readUlimit),
    CpuCount: integer(body, "CpuCount"),
    CpuPercent: integer(body, "CpuPercent"),
    IOMaximumIOps: integer(body, "IOMaximumIOps"),
    IOMaximumBandwidth: integer(body, "IOMaximumBandwidth"),
    Binds: nullable(body, "Binds", strings),
    ContainerIDFile: string(body, "ContainerIDFile"),
    LogConfig: { Type: string(log, "Type") || "json-file", Config: stringMap(log, "Config") },
    NetworkMode: string(body, "NetworkMode"),
    PortBindings: readPortBindings(body),
    RestartPolicy: readRestartPolicy(body),
    AutoRemove: boolean(body, "AutoRemove"),
    VolumeDriver: string(body, "VolumeDriver"),
    VolumesFrom: nullable(body, "VolumesFrom", strings),
    ConsoleSize: readConsoleSize(body),
    Annotations: stringMap(body, "Annotations"),
    CapAdd: nullable(body, "CapAdd", strings),
    CapDrop: nullable(body, "CapDrop", strings),
    CgroupnsMode: string(body, "CgroupnsMode") || "private",
    Dns: strings(body, "Dns"),
    DnsOptions: strings(body, "DnsOptions"),
    DnsSearch: strings(body, "DnsSearch"),
    ExtraHosts: nullable(body, "ExtraHosts", strings),
    GroupAdd: nullable(body, "GroupAdd", strings),
    IpcMode: string(body, "IpcMode") || "private",
    Cgroup: string(body, "Cgroup"),
    Links: nullable(body, "Links", strings),
    OomScoreAdj: integer(body, "OomScoreAdj"),
    PidMode: string(body, "PidMode"),
    Privileged: boolean(body, "Privileged"),
    PublishAllPorts: boolean(body, "PublishAllPorts"),
    ReadonlyRootfs: boolean(body, "ReadonlyRootfs"),
    SecurityOpt: nullable(body, "SecurityOpt", strings),
    StorageOpt: stringMap(body, "StorageOpt"),
    Tmpfs: stringMap(body, "Tmpfs"),
    UTSMode: string(body, "UTSMode"),
    UsernsMode: string(body, "UsernsMode"),
    ShmSize: integer(body, "ShmSize") || DEFAULT_SHM,
    Sysctls: stringMap(body, "Sysctls"),
    Runtime: string(body, "Runtime") || "gantry",
    Isolation: string(body, "Isolation"),
    Mounts: list(body, "Mounts", readMount),
    MaskedPaths: nullable(body, "MaskedPaths", strings),
    ReadonlyPaths: nullable(body, "ReadonlyPaths", strings),
    Init: nullable(body, "Init", boolean),
  };
}

function throttles(body: Json, field: string) {
  return list(body, field, (v, at) => ({ Path: string(object(v, at), "Path"), Rate: integer(object(v, at), "Rate") }));
}

function readDevice(value: unknown, field: string): DeviceMapping {
  const device = object(value, field);
  const host = string(device, "PathOnHost");
  return { PathOnHost: host, PathInContainer: string(device, "PathInContainer") || host, CgroupPermissions: string(device, "CgroupPermissions") || "rwm" };
}

function readDeviceRequest(value: unknown, field: string): DeviceRequest {
  const request = object(value, field);
  return {
    Driver: string(request, "Driver"), Count: integer(request, "Count"), DeviceIDs: strings(request, "DeviceIDs"),
    Capabilities: list(request, "Capabilities", (v, at) => strings({ [at]: v }, at)), Options: stringMap(request, "Options"),
  };
}

function readUlimit(value: unknown, field: string): Ulimit {
  const limit = object(value, field);
  return { Name: string(limit, "Name"), Soft: integer(limit, "Soft"), Hard: integer(limit, "Hard") };
}

function readPortBindings(body: Json): PortMap {
  const given = map(body, "PortBindings", (value, at) => list({ [at]: value }, at, (binding, field) => {
    const source = object(binding, field);
    const port = string(source, "HostPort");
    if (port !== "" && !/^\d{1,5}(-\d{1,5})?$/.test(port)) throw fail("INVALID", `invalid port specification: "${port}"`);
    if (port.split("-").some((p) => Number(p) > 65535)) throw fail("INVALID", `invalid port specification: "${port}"`);
    return { HostIp: string(source, "HostIp"), HostPort: port };
  }));
  // -p with neither address nor port arrives as an empty list: any free port.
  return Object.fromEntries(Object.entries(given).map(([port, bindings]) => [checkPort(port), bindings.length > 0 ? bindings : [{ HostIp: "", HostPort: "" }]]));
}

function readRestartPolicy(body: Json): RestartPolicy {
  const source = object(body["RestartPolicy"], "RestartPolicy");
  const name = string(source, "Name");
  const count = integer(source, "MaximumRetryCount");
  switch (name) {
    case "": case "no": case "always": case "unless-stopped":
      if (count !== 0) throw fail("INVALID", `invalid restart policy: maximum retry count can only be used with 'on-failure'`);
      return { Name: name === "" ? "no" : name, MaximumRetryCount: 0 };
    case "on-failure":
      if (count < 0) throw fail("INVALID", `invalid restart policy: maximum retry count cannot be negative`);
      return { Name: name, MaximumRetryCount: count };
    default:
      throw fail("INVALID", `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
}

function readConsoleSize(body: Json): [number, number] {
  const size = list(body, "ConsoleSize", (value, at) => integer({ [at]: value }, at), 2);
  return [size[0] ?? 0, size[1] ?? 0];
}

function readMount(value: unknown, field: string): MountSpec {
  const mount = object(value, field);
  const type = string(mount, "Type");
  if (type !== "bind" && type !== "volume" && type !== "tmpfs") throw fail("INVALID", `mount type unknown: "${type}"`);
  const bind = mount["BindOptions"] ? object(mount["BindOptions"], field) : null;
  const volume = mount["VolumeOptions"] ? object(mount["VolumeOptions"], field) : null;
  const tmpfs = mount["TmpfsOptions"] ? object(mount["TmpfsOptions"], field) : null;
  const driver = volume?.["DriverConfig"] ? object(volume["DriverConfig"], field) : null;
  return {
    Type: type, Source: string(mount, "Source"), Target: string(mount, "Target"), ReadOnly: boolean(mount, "ReadOnly"),
    Consistency: string(mount, "Consistency"),
    BindOptions: bind && { Propagation: string(bind, "Propagation"), NonRecursive: boolean(bind, "NonRecursive"), CreateMountpoint: boolean(bind, "CreateMountpoint") },
    VolumeOptions: volume && {
      NoCopy: boolean(volume, "NoCopy"), Labels: stringMap(volume, "Labels"), Subpath: string(volume, "Subpath"),
      DriverConfig: driver && { Name: string(driver, "Name"), Options: stringMap(driver, "Options") },
    },
    TmpfsOptions: tmpfs && { SizeBytes: integer(tmpfs, "SizeBytes"), Mode: integer(tmpfs, "Mode") },
  };
}

/** MemorySwap as Docker keeps it: where nothing was said of swap, as much again as memory. */
export function swapOf({ Memory, MemorySwap }: Pick<HostConfig, "Memory" | "MemorySwap">): number {
  return Memory > 0 && MemorySwap === 0 ? Memory * 2 : MemorySwap;
}

const MINIMUM_MEMORY = 6 * 1024 * 1024;

/** Refuses what contradicts itself, in Docker's words. */
export function checkHostConfig(host: HostConfig): void {
  const invalid = (message: string) => fail("INVALID", message);
  if (host.AutoRemove && host.RestartPolicy.Name !== "no") throw invalid("can't create 'AutoRemove' container with restart policy");
  if (host.Memory !== 0 && host.Memory < MINIMUM_MEMORY) throw invalid("Minimum memory limit allowed is 6MB");
  if (host.Memory > 0 && host.MemorySwap > 0 && host.MemorySwap < host.Memory) {
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (host.Memory === 0 && host.MemorySwap > 0) throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (host.MemorySwappiness !== null && host.MemorySwappiness !== -1 && (host.MemorySwappiness < 0 || host.MemorySwappiness > 100)) {
    throw invalid(`Invalid value: ${host.MemorySwappiness}, valid memory swappiness range is 0-100`);
  }
  if (host.MemoryReservation > 0 && host.Memory > 0 && host.Memory < host.MemoryReservation) {
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  if (host.NanoCpus < 0) throw invalid("Nano CPUs can not be negative");
  if (host.NanoCpus > 0 && (host.CpuPeriod > 0 || host.CpuQuota !== 0)) {
    throw invalid(`Conflicting options: Nano CPUs and CPU ${host.CpuPeriod > 0 ? "Period" : "Quota"} cannot both be set`);
  }
  if (host.CpuShares < 0) throw invalid("invalid CPU shares");
  if (host.CpuPeriod !== 0 && (host.CpuPeriod < 1000 || host.CpuPeriod > 1_000_000)) {
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (host.CpuQuota > 0 && host.CpuQuota < 1000) throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (host.BlkioWeight !== 0 && (host.BlkioWeight < 10 || host.BlkioWeight > 1000)) throw invalid("Range of blkio weight is from 10 to 1000");
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000) throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (host.ShmSize < 0) throw invalid("SHM size can not be less than 0");
  for (const path of [...(host.MaskedPaths ?? []), ...(host.ReadonlyPaths ?? [])]) {
    if (!path.startsWith("/")) throw invalid(`invalid path ${path}: must be absolute`);
  }
  for (const entry of host.ExtraHosts ?? []) {
    if (!/^[^:=\s]+[:=][^\s]+$/.test(entry)) throw invalid(`invalid extra hosts: bad format for add-host: "${entry}"`);
  }
  for (const server of host.Dns) {
    if (!/^[0-9a-fA-F.:]+$/.test(server)) throw invalid(`invalid DNS address: ${server}`);
  }
  for (const [name] of Object.entries(host.Sysctls)) {
    if (!/^[a-zA-Z0-9_./-]+$/.test(name) || name.includes("..")) throw invalid(`sysctl '${name}' is not allowed`);
  }
  if (host.Runtime !== "gantry" && host.Runtime !== "runc" && host.Runtime !== "io.containerd.runc.v2") {
    throw invalid(`unknown or invalid runtime name: ${host.Runtime}`);
  }
  if ((host.DeviceRequests ?? []).length > 0) throw invalid(`could not select device driver "${host.DeviceRequests![0]!.Driver}" with capabilities: [${host.DeviceRequests![0]!.Capabilities.map((c) => `[${c.join(" ")}]`).join(" ")}]`);
  checkLogConfig(host.LogConfig);
  checkModes(host);
}

function checkModes(host: HostConfig): void {
  const invalid = (message: string) => fail("INVALID", message);
  const ipc = host.IpcMode;
  if (!["none", "private", "shareable", "host"].includes(ipc) && !/^container:.+/.test(ipc)) throw invalid(`invalid IPC mode: ${ipc}`);
  if (host.PidMode !== "" && host.PidMode !== "host" && !/^container:.+/.test(host.PidMode)) throw invalid(`invalid PID mode: ${host.PidMode}`);
  if (host.UTSMode !== "" && host.UTSMode !== "host") throw invalid(`invalid UTS mode: ${host.UTSMode}`);
  if (host.CgroupnsMode !== "private" && host.CgroupnsMode !== "host") throw invalid(`invalid cgroup namespace mode: ${host.CgroupnsMode}`);
  if (host.UsernsMode !== "" && host.UsernsMode !== "host" && host.UsernsMode !== "private") throw invalid(`invalid user namespace mode: ${host.UsernsMode}`);
  const mode = host.NetworkMode;
  const published = Object.keys(host.PortBindings).length > 0 || host.PublishAllPorts;
  if (mode.startsWith("container:")) {
    if (mode === "container:") throw invalid('invalid network mode: invalid container format container:<name|id>');
    if (published) throw invalid("conflicting options: port publishing and the container type network mode");
    if ((host.ExtraHosts ?? []).length > 0) throw invalid("conflicting options: custom host-to-IP mapping and the network mode");
    if (host.Dns.length > 0) throw invalid("conflicting options: dns and the network mode");
  }
  if (host.UTSMode === "host" && mode.startsWith("container:")) throw invalid("conflicting options: UTS and the network mode");
}

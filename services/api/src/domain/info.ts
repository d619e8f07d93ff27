import { DEFAULT_DOMAIN } from "@gantry/oci";
import { API_VERSION, MIN_API_VERSION } from "./version.ts";

/** What the API's own process knows of itself and its machine. */
export interface Self {
  readonly version: string;
  readonly gitCommit: string;
  /** Instance ID, for `docker info`'s ID. */
  readonly instance: string;
  readonly hostname: string;
  readonly rootDir: string;
  readonly nodeVersion: string;
  readonly kernelVersion: string;
  /** Docker's words: `amd64`, `arm64` … */
  readonly arch: string;
  /** The kernel's words: `x86_64`, `aarch64` … */
  readonly machine: string;
  readonly operatingSystem: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly cgroupVersion: "1" | "2";
  readonly buildTime: string;
}

export interface Counts {
  readonly containers: number; readonly running: number; readonly paused: number; readonly stopped: number;
  readonly images: number;
  readonly nodes: readonly Record<string, unknown>[];
}

/** Body of `GET /version`. */
export function versionBody(self: Self): object {
  return {
    Platform: { Name: "Gantry" },
    Components: [{
      Name: "Engine",
      Version: self.version,
      Details: {
        ApiVersion: API_VERSION, Arch: self.arch, BuildTime: self.buildTime, Experimental: "false", GitCommit: self.gitCommit,
        GoVersion: `none (Node ${self.nodeVersion})`, KernelVersion: self.kernelVersion, MinAPIVersion: MIN_API_VERSION, Os: "linux",
      },
    }],
    Version: self.version, ApiVersion: API_VERSION, MinAPIVersion: MIN_API_VERSION, GitCommit: self.gitCommit,
    GoVersion: `none (Node ${self.nodeVersion})`, Os: "linux", Arch: self.arch, KernelVersion: self.kernelVersion, BuildTime: self.buildTime,
  };
}

/** Body of `GET /info`: of the one node where there is one, the sums of all where there are more. */
export function infoBody(self: Self, counts: Counts, now: { systemTime: string; eventListeners: number; openFiles: number }): object {
  const nodes = counts.nodes.map(readNode);
  const only = nodes.length === 1 ? nodes[0]! : null;
  const platform = only?.platform ?? {};
  const cgroupVersion = String(platform["cgroupVersion"] ?? self.cgroupVersion);
  return {
    ID: self.instance,
    Containers: counts.containers, ContainersRunning: counts.running, ContainersPaused: counts.paused, ContainersStopped: counts.stopped,
    Images: counts.images,
    Driver: "overlay2",
    DriverStatus: [["Backing Filesystem", text(platform["backingFilesystem"]) ?? "extfs"], ["Supports d_type", "true"], ["Native Overlay Diff", "true"], ["userxattr", "false"]],
    Plugins: { Volume: ["local"], Network: ["bridge", "host", "null"], Authorization: null, Log: ["json-file"] },
    MemoryLimit: true, SwapLimit: true, CpuCfsPeriod: true, CpuCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true,
    IPv4Forwarding: true, Debug: false, NFd: now.openFiles, OomKillDisable: cgroupVersion === "1", NGoroutines: 0,
    SystemTime: now.systemTime, LoggingDriver: "json-file", CgroupDriver: text(platform["cgroupDriver"]) ?? "cgroupfs", CgroupVersion: cgroupVersion,
    NEventsListener: now.eventListeners,
    KernelVersion: text(platform["kernelVersion"]) ?? self.kernelVersion,
    OperatingSystem: text(platform["operatingSystem"]) ?? self.operatingSystem,
    OSVersion: text(platform["osVersion"]) ?? "",
    OSType: "linux",
    Architecture: text(platform["architecture"]) ?? self.machine,
    IndexServerAddress: `https://index.${DEFAULT_DOMAIN}/v1/`,
    RegistryConfig: {
      IndexConfigs: { [DEFAULT_DOMAIN]: { Name: DEFAULT_DOMAIN, Mirrors: [], Secure: true, Official: true } },
      InsecureRegistryCIDRs: ["127.0.0.0/8", "::1/128"], Mirrors: [],
    },
    NCPU: sum(nodes.map((n) => n.cpus)) || self.cpus,
    MemTotal: sum(nodes.map((n) => n.memoryBytes)) || self.memoryBytes,
    GenericResources: null,
    DockerRootDir: self.rootDir,
    HttpProxy: "", HttpsProxy: "", NoProxy: "",
    Name: only?.hostname ?? self.hostname,
    Labels: Object.entries(only?.labels ?? {}).map(([name, value]) => `${name}=${value}`),
    ExperimentalBuild: false,
    ServerVersion: self.version,
    Runtimes: { gantry: { path: "gantry-shim" } },
    DefaultRuntime: "gantry",
    Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "", RemoteManagers: null },
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: "gantry-shim",
    ContainerdCommit: { ID: "" }, RuncCommit: { ID: "" }, InitCommit: { ID: "" },
    SecurityOptions: securityOptions(platform, cgroupVersion),
    CDISpecDirs: [],
    Warnings: Array.isArray(platform["warnings"]) ? platform["warnings"] : null,
  };
}

function securityOptions(platform: Record<string, unknown>, cgroupVersion: string): string[] {
  const own = platform["securityOptions"];
  if (Array.isArray(own)) return own.filter((o) => typeof o === "string");
  return ["name=seccomp,profile=builtin", ...(cgroupVersion === "2" ? ["name=cgroupns"] : [])];
}

function readNode(node: Record<string, unknown>): { hostname: string | null; cpus: number; memoryBytes: number; labels: Record<string, string>; platform: Record<string, unknown> } {
  return {
    hostname: text(node["hostname"]),
    cpus: number(node["cpus"]),
    memoryBytes: number(node["memoryBytes"]),
    labels: record(node["labels"]) as Record<string, string>,
    platform: record(node["platform"]),
  };
}

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const number = (value: unknown): number => (typeof value === "number" ? value : 0);
const record = (value: unknown): Record<string, unknown> => (typeof value === "object" && value !== null ? value as Record<string, unknown> : {});
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

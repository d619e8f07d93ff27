import { DEFAULT_DOMAIN } from "@gantry/oci";
import type { NodeView } from "@gantry/contracts";
import { nodeLines, nodeWarnings } from "./info-nodes.ts";
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
  readonly nodes: readonly NodeView[];
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

/**
 * Body of `GET /info`: of the one node where there is one; where there are more, what all have in common, the sums of those that are ready, and
 * a line for each (the docker command prints DriverStatus line by line, where Swarm's first edition had its nodes).
 */
export function infoBody(self: Self, counts: Counts, now: { systemTime: string; eventListeners: number; openFiles: number }): object {
  const { nodes } = counts;
  const only = nodes.length === 1 ? nodes[0]! : null;
  const ready = nodes.filter((node) => node.state === "ready");
  const platform = inCommon(nodes.map((node) => node.platform));
  const warnings = [...(Array.isArray(platform["warnings"]) ? platform["warnings"] : []), ...nodeWarnings(nodes)];
  const cgroupVersion = String(platform["cgroupVersion"] ?? self.cgroupVersion);
  return {
    ID: self.instance,
    Containers: counts.containers, ContainersRunning: counts.running, ContainersPaused: counts.paused, ContainersStopped: counts.stopped,
    Images: counts.images,
    Driver: "overlay2",
    DriverStatus: [["Backing Filesystem", text(platform["backingFilesystem"]) ?? "extfs"], ["Supports d_type", "true"], ["Native Overlay Diff", "true"], ["userxattr", "false"], ...(only ? [] : nodeLines(nodes))],
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
    NCPU: only || nodes.length === 0 ? only?.capacity.cpus ?? self.cpus : sum(ready.map((n) => n.capacity.cpus)),
    MemTotal: only || nodes.length === 0 ? only?.capacity.memoryBytes ?? self.memoryBytes : sum(ready.map((n) => n.capacity.memoryBytes)),
    GenericResources: null,
    DockerRootDir: self.rootDir,
    HttpProxy: "", HttpsProxy: "", NoProxy: "",
    Name: only?.name ?? self.hostname,
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
    Warnings: warnings.length > 0 ? warnings : null,
  };
}

function securityOptions(platform: Record<string, unknown>, cgroupVersion: string): string[] {
  const own = platform["securityOptions"];
  if (Array.isArray(own)) return own.filter((o) => typeof o === "string");
  return ["name=seccomp,profile=builtin", ...(cgroupVersion === "2" ? ["name=cgroupns"] : [])];
}

/** The entries that are the same in all. */
function inCommon(all: readonly Readonly<Record<string, unknown>>[]): Record<string, unknown> {
  const [first = {}, ...others] = all;
  return Object.fromEntries(Object.entries(first).filter(([key, value]) => others.every((other) => JSON.stringify(other[key]) === JSON.stringify(value))));
}

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

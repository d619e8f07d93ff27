import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerConfig, HostConfig, MountPoint } from "@gantry/contracts";
import { DEFAULT_CAPABILITIES } from "@gantry/runtime";
import { capabilitiesFromMask, capabilitiesOf } from "./capabilities.ts";
import { containerSpec, type SpecInputs } from "./container-spec.ts";
import { containerEnvironment, replaceEnv } from "./environment.ts";
import { mountList } from "./mount-list.ts";
import { cgroupOf } from "./resources.ts";
import { readSecurityOptions } from "./security.ts";

const config = (over: Partial<ContainerConfig> = {}): ContainerConfig => ({
  Hostname: "", Domainname: "", User: "", AttachStdin: false, AttachStdout: false, AttachStderr: false, ExposedPorts: {}, Tty: false, OpenStdin: false, StdinOnce: false, Env: [],
  Cmd: ["sh"], Healthcheck: null, ArgsEscaped: false, Image: "busybox", Volumes: null, WorkingDir: "", Entrypoint: null, NetworkDisabled: false, OnBuild: null, Labels: {},
  StopSignal: "", StopTimeout: null, Shell: null, ...over,
});
const host = (over: Partial<HostConfig> = {}): HostConfig => ({
  CpuShares: 0, Memory: 0, NanoCpus: 0, CgroupParent: "", BlkioWeight: 0, BlkioWeightDevice: [], BlkioDeviceReadBps: [], BlkioDeviceWriteBps: [], BlkioDeviceReadIOps: [],
  BlkioDeviceWriteIOps: [], CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: "", CpusetMems: "", Devices: [], DeviceCgroupRules: null,
  DeviceRequests: null, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: null, OomKillDisable: null, PidsLimit: null, Ulimits: [], CpuCount: 0, CpuPercent: 0,
  IOMaximumIOps: 0, IOMaximumBandwidth: 0, Binds: null, ContainerIDFile: "", LogConfig: { Type: "json-file", Config: {} }, NetworkMode: "bridge", PortBindings: {},
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 }, AutoRemove: false, VolumeDriver: "", VolumesFrom: null, ConsoleSize: [0, 0], Annotations: {}, CapAdd: null, CapDrop: null,
  CgroupnsMode: "private", Dns: [], DnsOptions: [], DnsSearch: [], ExtraHosts: null, GroupAdd: null, IpcMode: "private", Cgroup: "", Links: null, OomScoreAdj: 0, PidMode: "",
  Privileged: false, PublishAllPorts: false, ReadonlyRootfs: false, SecurityOpt: null, StorageOpt: {}, Tmpfs: {}, UTSMode: "", UsernsMode: "", ShmSize: 64 << 20, Sysctls: {},
  Runtime: "", Isolation: "", Mounts: [], MaskedPaths: null, ReadonlyPaths: null, Init: null, ...over,
});
const spec = (over: { config?: Partial<ContainerConfig>; host?: Partial<HostConfig> } & Partial<Omit<SpecInputs, "config" | "hostConfig">> = {}) => {
  const { config: c, host: h, ...rest } = over;
  return containerSpec({
    id: "ab".repeat(32), dir: "/d", config: config(c), hostConfig: host(h), rootfs: { base: "/b", lowers: ["l"], upper: "u", work: "w", volatile: false }, mounts: [], devices: [],
    interfaces: [], dns: false, joined: { network: null, ipc: null, pid: null }, hostname: "abababababab", cgroupParent: "gantry-1", heldCapabilities: null, mappings: [], ...rest,
  });
};

test("arguments, environment and working directory in Docker's order", () => {
  const made = spec({ config: { Entrypoint: ["/e"], Cmd: ["a", "b"], Env: ["X=1", "PATH=/p"], Tty: true } });
  assert.deepEqual(made.args, ["/e", "a", "b"]);
  assert.deepEqual(made.env, ["PATH=/p", "HOSTNAME=abababababab", "TERM=xterm", "X=1"]);
  assert.deepEqual([made.cwd, made.stopSignal, made.log?.maxFiles, made.cgroup.path], ["/", "SIGTERM", 5, `gantry-1/${"ab".repeat(32)}`]);
  assert.deepEqual(containerEnvironment({ hostname: "", terminal: false, env: ["HOME=/h"] }), ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/h"]);
  assert.deepEqual(replaceEnv(["A=1", "B=2"], ["A", "C=3", "B=4"]), ["B=4", "C=3"]);
});

test("capabilities: added, dropped, all of them, privileged", () => {
  const caps = (over: Partial<HostConfig>, held: ReadonlySet<string> | null = null) => capabilitiesOf(host(over), held);
  assert.deepEqual(caps({}), DEFAULT_CAPABILITIES);
  assert.ok(!caps({ CapDrop: ["chown"] }).includes("CAP_CHOWN"));
  assert.ok(caps({ CapAdd: ["NET_ADMIN"] }).includes("CAP_NET_ADMIN"));
  assert.deepEqual(caps({ CapDrop: ["ALL"], CapAdd: ["NET_BIND_SERVICE"] }), ["CAP_NET_BIND_SERVICE"]);
  assert.ok(caps({ CapAdd: ["ALL"], CapDrop: ["CAP_SYS_ADMIN"] }).length === 40);
  assert.deepEqual(caps({ Privileged: true }, new Set(["CAP_CHOWN"])), ["CAP_CHOWN"]);
  assert.throws(() => caps({ CapAdd: ["NOPE"] }), { code: "INVALID", message: 'invalid capability: "NOPE"' });
  assert.deepEqual([...capabilitiesFromMask("0000000000000003")], ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
});

test("security options", () => {
  assert.deepEqual(readSecurityOptions([], false), { seccomp: true, noNewPrivileges: false, systemPathsUnconfined: false, userNamespace: false });
  assert.equal(readSecurityOptions([], true).seccomp, false);
  assert.equal(readSecurityOptions(["seccomp=unconfined"], false).seccomp, false);
  assert.equal(readSecurityOptions(['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'], false).seccomp, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  assert.equal(readSecurityOptions(["no-new-privileges:true", "apparmor=unconfined", "label=disable"], false).noNewPrivileges, true);
  assert.throws(() => readSecurityOptions(["bogus=1"], false), { message: 'invalid --security-opt 2: "bogus=1"' });
  assert.throws(() => readSecurityOptions(["seccomp={"], false), /Decoding seccomp profile failed/);
});

test("limits: memory and swap, CPUs become a quota", () => {
  const limits = (over: Partial<HostConfig>) => cgroupOf(host(over), "p", []);
  assert.deepEqual([limits({}).memory, limits({}).memorySwap, limits({}).cpuQuota, limits({}).pids], [null, null, null, null]);
  assert.deepEqual([limits({ Memory: 1e8 }).memory, limits({ Memory: 1e8, MemorySwap: 2e8 }).memorySwap, limits({ Memory: 1e8, MemorySwap: -1 }).memorySwap], [1e8, 2e8, -1]);
  assert.deepEqual([limits({ NanoCpus: 1.5e9 }).cpuQuota, limits({ NanoCpus: 1.5e9 }).cpuPeriod], [150_000, 100_000]);
  assert.deepEqual([limits({ PidsLimit: 10 }).pids, limits({ PidsLimit: -1 }).pids, limits({ CpuQuota: -1 }).cpuQuota], [10, null, -1]);
  assert.ok(limits({}).deviceRules.includes("c 1:3 rwm") && !limits({}).deviceRules.includes("a *:* rwm"));
  assert.deepEqual(limits({ Privileged: true }).deviceRules, ["a *:* rwm"]);
  assert.ok(cgroupOf(host(), "p", [{ type: "c", major: 10, minor: 229, access: "rw" }]).deviceRules.includes("c 10:229 rw"));
});

test("namespaces: own, the host's, another container's", () => {
  assert.deepEqual(spec().namespaces, { mount: "new", pid: "new", network: "new", ipc: "new", uts: "new", cgroup: "new", user: "host" });
  const shared = spec({ host: { NetworkMode: "host", PidMode: "host", IpcMode: "host", UTSMode: "host", CgroupnsMode: "host" } });
  assert.deepEqual(shared.namespaces, { mount: "new", pid: "host", network: "host", ipc: "host", uts: "host", cgroup: "host", user: "host" });
  assert.equal(shared.hostname, "");
  const joined = spec({ joined: { network: 7, ipc: 8, pid: 9 } });
  assert.deepEqual([joined.namespaces.network, joined.namespaces.ipc, joined.namespaces.pid], ["/proc/7/ns/net", "/proc/8/ns/ipc", "/proc/9/ns/pid"]);
});

test("privileged and unconfined paths, sysctls, devices", () => {
  assert.ok(spec().maskedPaths.includes("/proc/kcore") && spec().readonlyPaths.includes("/proc/sys"));
  assert.deepEqual([spec({ host: { Privileged: true } }).maskedPaths, spec({ host: { SecurityOpt: ["systempaths=unconfined"] } }).readonlyPaths], [[], []]);
  assert.deepEqual(spec({ host: { MaskedPaths: ["/x"] } }).maskedPaths, ["/x"]);
  assert.deepEqual(spec({ host: { NetworkMode: "host" } }).sysctls, []);
  assert.deepEqual(spec({ host: { Sysctls: { "net.ipv4.ip_forward": "1" } } }).sysctls.at(-1), { name: "net.ipv4.ip_forward", value: "1" });
  assert.deepEqual(spec().devices.map((device) => device.path).sort(), ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"]);
  assert.deepEqual(spec({ host: { Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }] } }).rlimits, [{ type: "nofile", soft: 1, hard: 2 }]);
  assert.deepEqual([spec({ host: { OomScoreAdj: 5 } }).oomScoreAdj, spec().oomScoreAdj], [5, null]);
});

const point = (over: Partial<MountPoint>): MountPoint => ({
  Type: "volume", Name: "v", Source: "", Destination: "/v", Driver: "local", Mode: "", RW: true, Propagation: "", Anonymous: false, CopyUp: false, CreateSource: false, NonRecursive: false,
  Subpath: "", TmpfsSize: 0, TmpfsMode: 0, TmpfsOptions: [], VolumeOptions: {}, ...over,
});

test("mounts: defaults, the user's over them, the network's files last", () => {
  const list = (over: Partial<Parameters<typeof mountList>[0]> = {}) => mountList({ hostConfig: host(), points: [], files: { "/etc/hosts": "/d/hosts" }, sharedMemory: null, hostMqueue: true, ...over });
  assert.deepEqual(list().map((mount) => mount.destination), ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/etc/hosts"]);
  assert.deepEqual(list({ points: [{ point: point({ Destination: "/etc/hosts", RW: false }), source: "/mine" }] }).filter((mount) => mount.destination === "/etc/hosts"),
    [{ destination: "/etc/hosts", type: "bind", source: "/mine", options: ["rbind", "ro", "rprivate"] }]);
  assert.equal(list({ sharedMemory: undefined }).some((mount) => mount.destination === "/dev/shm"), false);
  assert.equal(list({ sharedMemory: "/proc/7/root/dev/shm" }).find((mount) => mount.destination === "/dev/shm")!.type, "bind");
  assert.ok(!list({ hostConfig: host({ Privileged: true }) }).find((mount) => mount.destination === "/sys")!.options.includes("ro"));
  const tmpfs = list({ points: [{ point: point({ Type: "tmpfs", Destination: "/t", TmpfsSize: 4096, TmpfsMode: 0o1770 }), source: "tmpfs" }] }).find((mount) => mount.destination === "/t")!;
  assert.deepEqual(tmpfs.options, ["nosuid", "noexec", "nodev", "size=4096", "mode=1770"]);
});

import type { AttachOptions, Cgroup, ContainerSpec, Device, ExecSpec, IdMapping, Mount, NetworkInterface, Rootfs } from "./port.ts";
import { readProfile, type SeccompFilter } from "./seccomp-profile.ts";
import { Kind, WIRE_VERSION, Writer } from "./wire.ts";

/** The order of fields is that of native/src/spec.c. */

function rootfs(w: Writer, r: Rootfs): void {
  w.str(r.base).strs(r.lowers).maybe(r.upper, (v) => w.str(v)).maybe(r.work, (v) => w.str(v)).bool(r.volatile);
}

function mount(w: Writer, m: Mount): void {
  w.str(m.destination).str(m.type).str(m.source).strs(m.options);
}

function mapping(w: Writer, m: IdMapping): void {
  w.u32(m.containerId).u32(m.hostId).u32(m.size);
}

function network(w: Writer, n: NetworkInterface): void {
  w.str(n.bridge).str(n.hostName).str(n.name).str(n.mac).strs(n.addresses).maybe(n.gateway, (v) => w.str(v)).maybe(n.gateway6, (v) => w.str(v)).u32(n.mtu);
}

function device(w: Writer, d: Device): void {
  w.str(d.path).str(d.type).u32(d.major).u32(d.minor).u32(d.mode).u32(d.uid).u32(d.gid).str(d.access);
}

function cgroup(w: Writer, c: Cgroup): void {
  const number = (v: number | null) => w.maybe(v, (n) => w.i64(n));
  const text = (v: string | null) => w.maybe(v, (s) => w.str(s));
  w.str(c.path);
  number(c.memory); number(c.memorySwap); number(c.memoryReservation); number(c.pids);
  number(c.cpuShares); number(c.cpuQuota); number(c.cpuPeriod);
  text(c.cpusetCpus); text(c.cpusetMems);
  number(c.blkioWeight);
  w.bool(c.oomKillDisable).strs(c.deviceRules);
}

function seccomp(w: Writer, filter: boolean | SeccompFilter): void {
  if (typeof filter === "boolean") {
    w.u8(filter ? 1 : 0);
    return;
  }
  w.u8(2).u32(filter.defaultAction).strs(filter.architectures).strs(filter.flags);
  w.list(filter.rules, (rule) => {
    w.str(rule.syscall).u32(rule.action);
    w.list(rule.args, (arg) => w.u32(arg.index).u32(arg.op).i64(arg.value).i64(arg.valueTwo));
  });
}

/** The request of a start. `attach` streams are waited for before the process runs. INVALID for a profile that cannot be read. */
export function encodeStart(s: ContainerSpec, attach: number): Buffer {
  const filter = typeof s.seccomp === "string" ? readProfile(s.seccomp, s.capabilities) : s.seccomp;
  const w = new Writer(Kind.start).u32(WIRE_VERSION).u32(attach);
  w.str(s.id).str(s.dir).strs(s.args).strs(s.env).str(s.cwd).str(s.user).strs(s.additionalGroups);
  w.str(s.hostname).str(s.domainname);
  w.bool(s.terminal).bool(s.openStdin).bool(s.stdinOnce).u32(s.consoleHeight).u32(s.consoleWidth);
  rootfs(w, s.rootfs);
  w.bool(s.readonlyRootfs);
  w.list(s.mounts, (m) => mount(w, m));
  const n = s.namespaces;
  w.str(n.mount).str(n.pid).str(n.network).str(n.ipc).str(n.uts).str(n.cgroup).str(n.user);
  w.list(s.uidMappings, (m) => mapping(w, m)).list(s.gidMappings, (m) => mapping(w, m));
  w.list(s.networks, (i) => network(w, i)).bool(s.dns);
  w.strs(s.capabilities);
  seccomp(w, filter);
  w.bool(s.noNewPrivileges);
  w.list(s.rlimits, (l) => w.str(l.type).i64(l.soft).i64(l.hard));
  w.list(s.sysctls, (c) => w.str(c.name).str(c.value));
  w.list(s.devices, (d) => device(w, d));
  w.strs(s.maskedPaths).strs(s.readonlyPaths).bool(s.privileged).bool(s.init);
  cgroup(w, s.cgroup);
  w.maybe(s.oomScoreAdj, (v) => w.i64(v)).maybe(s.umask, (v) => w.i64(v));
  w.str(s.stopSignal).maybe(s.log, (log) => w.i64(log.maxBytes).u32(log.maxFiles));
  return w.frame();
}

export function encodeExec(s: ExecSpec): Buffer {
  const w = new Writer(Kind.exec);
  w.str(s.id).strs(s.args).strs(s.env).str(s.cwd).str(s.user).strs(s.additionalGroups);
  w.bool(s.terminal).u32(s.consoleHeight).u32(s.consoleWidth);
  w.bool(s.stdin).bool(s.stdout).bool(s.stderr).bool(s.privileged).strs(s.capabilities).bool(s.noNewPrivileges);
  return w.frame();
}

export function encodeUpdate(c: Cgroup): Buffer {
  const w = new Writer(Kind.update);
  cgroup(w, c);
  return w.frame();
}

export function encodeAttach(options: AttachOptions): Buffer {
  return new Writer(Kind.attach).u8((options.stdin ? 1 : 0) | (options.stdout ? 2 : 0) | (options.stderr ? 4 : 0)).frame();
}

import assert from "node:assert/strict";
import { readFile, readlink, stat } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { alive, demultiplex, Rig, seen } from "./test/rig.ts";
import type { ContainerSpec } from "./port.ts";

let rig: Rig;
before(async () => { rig = await Rig.make(); });
after(async () => { await rig[Symbol.asyncDispose](); });

const NAMESPACES = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
const MAPPED: Partial<ContainerSpec> = {
  uidMappings: [{ containerId: 0, hostId: 200_000, size: 65_536 }],
  gidMappings: [{ containerId: 0, hostId: 300_000, size: 65_536 }],
};

const links = async (pid: number | "self", names: string[]) => {
  const all: Record<string, string> = {};
  for (const name of names) all[name] = await readlink(`/proc/${pid}/ns/${name}`);
  return all;
};

test("every namespace differs from the host's", async () => {
  const { container } = await rig.sleeper();
  const own = await links(container.pid, NAMESPACES);
  const host = await links("self", NAMESPACES);
  for (const name of NAMESPACES) assert.notEqual(own[name], host[name], name);
});

test("with a user namespace, all of them differ, and root is nobody on the host", async () => {
  const base = await rig.spec([]);
  const { container, spec } = await rig.sleeper({ ...MAPPED, namespaces: { ...base.namespaces, user: "new" } });
  const names = [...NAMESPACES, "user"];
  const own = await links(container.pid, names);
  const host = await links("self", names);
  for (const name of names) assert.notEqual(own[name], host[name], name);
  const status = await readFile(`/proc/${container.pid}/status`, "utf8");
  assert.match(status, /^Uid:\s200000\s/m);
  assert.match(status, /^Gid:\s300000\s/m);
  const { stdout } = await output(await container.exec(rig.execSpec(["sh", "-c", "id -u; touch /made; stat -c %u /made; mount | grep -c proc; echo x > /dev/null; readlink /proc/self/ns/user"])));
  assert.match(stdout, /^0\n0\n\d+\n/);
  assert.match(stdout, new RegExp(own.user!.replace(/[[\]]/g, "\\$&")));
  /* The layers are shown to it with its owners; on disk they are root's, as every snapshot's. */
  const made = await stat(`${spec.rootfs.base}/${spec.rootfs.upper}/made`);
  assert.deepEqual([made.uid, made.gid], [0, 0]);
});

const output = ({ stream }: { stream: Duplex }) => demultiplex(stream);

test("namespaces of another container are joined", async () => {
  const first = await rig.sleeper();
  const path = (name: string) => `/proc/${first.container.pid}/ns/${name}`;
  const base = await rig.spec([]);
  const { container } = await rig.sleeper({
    hostname: "", namespaces: { ...base.namespaces, network: path("net"), ipc: path("ipc"), pid: path("pid"), uts: path("uts") },
  });
  const names = ["net", "ipc", "pid", "uts"];
  assert.deepEqual(await links(container.pid, names), await links(first.container.pid, names));
  await container.kill(9);
  assert.equal((await container.exited).exitCode, 137);
  assert.deepEqual(await first.container.pids(), [first.container.pid]);
});

test("with the host's PID namespace, what is left of a container is killed with it", async () => {
  const base = await rig.spec([]);
  const spec = await rig.spec(["sh", "-c", "sleep 1000 & echo $!"], { namespaces: { ...base.namespaces, pid: "host" } });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: false, stdout: true, stderr: true }] });
  const pid = Number((await seen(attached[0]!, "\n")).slice(8));
  await container.exited;
  assert.ok(!alive(pid));
});

test("capabilities and seccomp are Docker's", async () => {
  const { stdout } = await rig.run(["sh", "-c", "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status"]);
  assert.equal(stdout, [
    "CapInh:\t0000000000000000", "CapPrm:\t00000000a80425fb", "CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000",
    "NoNewPrivs:\t0", "Seccomp:\t2", "",
  ].join("\n"));
  const user = await rig.run(["sh", "-c", "grep -E '^Cap' /proc/self/status"], { user: "alice" });
  assert.match(user.stdout, /CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb/);
  const denied = await rig.run(["sh", "-c", "unshare -m true; mount -t tmpfs x /tmp; hostname other; mknod /tmp/n c 1 3 && echo made"]);
  assert.match(denied.stderr, /unshare.*Operation not permitted\n.*mount.*(permission denied|Operation not permitted).*\n.*hostname.*Operation not permitted/is);
  assert.equal(denied.stdout, "made\n");
});

test("no_new_privs, more capabilities and no filter on request", async () => {
  const capabilities = ["CAP_SYS_ADMIN", "CAP_CHOWN"];
  const open = await rig.run(["sh", "-c", "grep -E '^(CapEff|Seccomp:|NoNewPrivs)' /proc/self/status; unshare -m true && echo unshared"],
    { capabilities, seccomp: false, noNewPrivileges: true });
  assert.equal(open.stdout, "CapEff:\t0000000000200001\nNoNewPrivs:\t1\nSeccomp:\t0\nunshared\n");
  const admin = await rig.run(["sh", "-c", "unshare -m true && echo unshared"], { capabilities });
  assert.equal(admin.stdout, "unshared\n");
});

test("a profile of one's own", async () => {
  const profile = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW", archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
  });
  const { stderr } = await rig.run(["mkdir", "/x"], { seccomp: profile });
  assert.match(stderr, /No space left on device/);
});

test("masked and read-only paths; devices of the host stay shut", async () => {
  const { stdout, stderr } = await rig.run(["sh", "-c", "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/panic; mknod /tmp/vda b 254 0; dd if=/tmp/vda count=1 2>&1 | grep -o 'not permitted'; mount | grep -c '/dev/vda'"]);
  assert.equal(stdout, "0\n0\nnot permitted\n0\n");
  assert.match(stderr, /Read-only file system/);
});

test("nothing of the engine is open in a container", async () => {
  const { stdout } = await rig.run(["sh", "-c", "ls /proc/self/fd | grep -v '^[0123]$'; ls -l /proc/1/exe"], { init: true });
  assert.match(stdout, /\/proc\/1\/exe -> \/memfd:gantry-shim \(deleted\)/);
  assert.equal((await rig.run(["env"], { env: ["PATH=/bin", "A=b"] })).stdout, "PATH=/bin\nA=b\nHOME=/root\n");
  assert.equal((await rig.run(["ls", "/proc/self/fd"])).stdout, "0\n1\n2\n3\n");
});

test("limits: memory with its OOM kill, processes, CPU", async () => {
  const cgroup = (await rig.spec([])).cgroup;
  const grow = await rig.run(["sh", "-c", "x=$(head -c 100000000 /dev/zero | tail -c 60000000 | tr '\\0' x); echo no"], { cgroup: { ...cgroup, memory: 16 << 20, memorySwap: 16 << 20 } });
  assert.equal(grow.status.oomKilled, true);
  const forks = await rig.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"], { cgroup: { ...cgroup, path: `${cgroup.path}b`, pids: 4 } });
  assert.match(forks.stderr, /can't fork/);
  const limited = await rig.run(["cat", "/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpuset/cpuset.cpus"],
    { cgroup: { ...cgroup, path: `${cgroup.path}c`, cpuShares: 512, cpuQuota: 50_000, cpuPeriod: 100_000, cpusetCpus: "0" } });
  assert.equal(limited.stdout, "512\n50000\n0\n");
});

test("limits change while it runs", async () => {
  const { container, spec } = await rig.sleeper();
  await container.update({ ...spec.cgroup, memory: 64 << 20, memorySwap: 128 << 20, pids: 33, cpuShares: 99 });
  const { stdout } = await output(await container.exec(rig.execSpec(["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max"])));
  assert.equal(stdout, `${64 << 20}\n33\n`);
  assert.match(await readFile(`/proc/${container.pid}/cgroup`, "utf8"), new RegExp(`:cpu:/${spec.cgroup.path}$`, "m"));
  await assert.rejects(container.update({ ...spec.cgroup, memory: 1 }));
});

test("sysctls, host name, OOM score", async () => {
  const { stdout } = await rig.run(["sh", "-c", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/self/oom_score_adj; hostname"],
    { sysctls: [{ name: "net.ipv4.ip_forward", value: "1" }, { name: "kernel.msgmax", value: "12345" }], oomScoreAdj: 123, hostname: "named" });
  assert.equal(stdout, "1\n12345\n123\nnamed\n");
});

test("lo is up, and the name server's sockets are handed out", async () => {
  const { container } = await rig.sleeper({ dns: true });
  const sockets = await container.dnsSockets();
  assert.ok(sockets !== null);
  const { createSocket } = await import("node:dgram");
  const udp = createSocket("udp4");
  udp.bind({ fd: sockets.udp });
  const asked = new Promise<Buffer>((resolve) => udp.once("message", (message, from) => { udp.send(message, from.port, from.address); resolve(message); }));
  const exec = await container.exec(rig.execSpec(["nslookup", "some.name", "127.0.0.11"]));
  assert.match((await asked).toString("latin1"), /some.name/);
  await exec.kill(9).catch(() => {});
  udp.close();
  (await import("node:fs")).closeSync(sockets.tcp);
  const other = await rig.sleeper();
  assert.equal(await other.container.dnsSockets(), null);
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isGantryError } from "@gantry/kernel";
import type { ContainerSpec } from "./port.ts";
import { encodeStart } from "./spec-wire.ts";
import { type Frame, FrameSplitter, Kind, MAX_FRAME, Writer } from "./wire.ts";

const native = fileURLToPath(new URL("../../../native", import.meta.url));

const whole: ContainerSpec = {
  id: "a".repeat(64), dir: "/state/containers/ünï", args: ["sh", "-c", "echo \"x\""], env: ["PATH=/bin", "EMPTY="], cwd: "/w", user: "bob:staff",
  additionalGroups: ["29"], hostname: "h", domainname: "", terminal: true, openStdin: false, stdinOnce: true, consoleHeight: 24, consoleWidth: 80,
  rootfs: { base: "/base", lowers: ["l/2", "l/1"], upper: "u", work: "w", volatile: true }, readonlyRootfs: true,
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "ro"] }, { destination: "/x", type: "bind", source: "/y", options: [] }],
  namespaces: { mount: "new", pid: "/proc/1/ns/pid", network: "host", ipc: "new", uts: "new", cgroup: "host", user: "new" },
  uidMappings: [{ containerId: 0, hostId: 4_294_967_295, size: 7 }], gidMappings: [{ containerId: 1, hostId: 2, size: 3 }],
  networks: [{ bridge: "br", hostName: "v", name: "eth0", mac: "02:42:ac:11:00:02", addresses: ["10.0.0.2/24", "fd00::2/64"], gateway: "10.0.0.1", gateway6: null, mtu: 1500 }],
  dns: true, capabilities: ["CAP_CHOWN"], seccomp: true, noNewPrivileges: true,
  rlimits: [{ type: "nofile", soft: -1, hard: 1_048_576 }], sysctls: [{ name: "net.ipv4.ip_forward", value: "1" }],
  devices: [{ path: "/dev/null", type: "c", major: 1, minor: 3, mode: 0o666, uid: 5, gid: 6, access: "rwm" }],
  maskedPaths: ["/m"], readonlyPaths: [], privileged: false, init: true,
  cgroup: {
    path: "p/c", memory: 9_007_199_254_740_991, memorySwap: -1, memoryReservation: null, pids: 0, cpuShares: 2, cpuQuota: null, cpuPeriod: 100_000,
    cpusetCpus: "0-1", cpusetMems: null, blkioWeight: 500, oomKillDisable: true, deviceRules: ["a *:* rwm"],
  },
  oomScoreAdj: -999, umask: null, stopSignal: "SIGTERM", log: { maxBytes: 20_000_000, maxFiles: 5 },
};

/** As native/test/spec_print.c prints: names in C's spelling, in the port's order. */
function expected(value: unknown, name: string): string[] {
  if (value === null) return [`${name} null`];
  if (typeof value === "string") return [`${name} ${`"${value}"`}`];
  if (typeof value === "number" || typeof value === "boolean") return [`${name} ${value}`];
  const snake = (key: string) => key.replace(/[A-Z](?![A-Z])/g, (c) => `_${c.toLowerCase()}`);
  if (Array.isArray(value)) return [`${name} [${value.length}]`, ...value.flatMap((v) => (typeof v === "object" ? expected(v, "") : expected(v, name)))];
  return Object.entries(value as object).flatMap(([key, v]) => expected(v, snake(key)));
}

before(() => { execFileSync("make", ["-s", "-j2", "-C", native, "build/test/spec_print"], { stdio: ["ignore", "ignore", "inherit"] }); });

test("the C side reads what this side writes, field by field", () => {
  const out = execFileSync(`${native}/build/test/spec_print`, { input: encodeStart(whole, 2), encoding: "utf8" });
  assert.deepEqual(out.trimEnd().split("\n"), ["version 2", "attach 2", ...expected(whole, "")]);
});

test("a profile crosses as rules", () => {
  const seccomp = JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 7, syscalls: [{ names: ["read", "write"], action: "SCMP_ACT_ALLOW" }] });
  const out = execFileSync(`${native}/build/test/spec_print`, { input: encodeStart({ ...whole, seccomp }, 0), encoding: "utf8" });
  assert.match(out, /^seccomp 50007 2 rules$/m);
});

test("what cannot be sent is refused", () => {
  assert.throws(() => encodeStart({ ...whole, args: ["a\0b"] }, 0), (e) => isGantryError(e, "INVALID"));
  assert.throws(() => encodeStart({ ...whole, env: ["x".repeat(MAX_FRAME)] }, 0), (e) => isGantryError(e, "TOO_LARGE"));
});

test("frames are split wherever they are cut", () => {
  const frames = [new Writer(Kind.pids).frame(), new Writer(Kind.kill).i32(-9).frame(), new Writer(Kind.error).i32(1).str("CODE").str("é".repeat(3000)).frame()];
  const all = Buffer.concat(frames);
  for (const size of [1, 2, 3, 7, 5000]) {
    const splitter = new FrameSplitter();
    const got: Frame[] = [];
    for (let at = 0; at < all.length; at += size) got.push(...splitter.push(all.subarray(at, at + size)));
    assert.deepEqual(got.map((f) => f.kind), [Kind.pids, Kind.kill, Kind.error]);
    assert.equal(got[1]!.reader.i32(), -9);
    got[2]!.reader.i32();
    got[2]!.reader.str();
    assert.equal(got[2]!.reader.str(), "é".repeat(3000));
    assert.throws(() => got[2]!.reader.u8(), /malformed/);
  }
  assert.throws(() => new FrameSplitter().push(Buffer.from([255, 255, 255, 255, 1])), /malformed/);
});

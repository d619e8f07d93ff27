import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readConstraints, satisfies } from "./constraints.ts";
import { fixedPorts, limitsOf, portsCollide, reservedBy } from "./demand.ts";
import { readHostConfig } from "./host-config.ts";
import { place, type Candidate, type Demand } from "./placement.ts";

const GB = 1024 ** 3;
const node = (nodeId: string, over: Partial<Candidate> = {}): Candidate => ({
  nodeId, hostname: `host-${nodeId}`, alive: true, since: "", availability: "active", cpus: 4, memoryBytes: 8 * GB, labels: {}, os: "linux", architecture: "amd64",
  containers: 0, reserved: { memoryBytes: 0, cpus: 0 }, ports: [], images: new Set(), ...over,
});
const NOTHING = { memoryBytes: 0, cpus: 0 };
const demand = (over: Partial<Demand> = {}): Demand => ({
  limits: over.reserve ?? NOTHING, reserve: NOTHING, volumes: [], withContainers: [], networks: [], ports: [], image: "i", platform: null, constraints: [], ...over,
});
const constraints = (...lines: string[]) => readConstraints(lines.map((line) => `constraint:${line}`), {}).constraints;

/** Places containers one after the other, each counted where it went. */
function fill(nodes: readonly Candidate[], demands: readonly Demand[]): { nodes: Candidate[]; placed: (string | null)[] } {
  let now = [...nodes];
  const placed = demands.map((wish) => {
    const { nodeId } = place(now, wish);
    now = now.map((n) => n.nodeId !== nodeId ? n : {
      ...n, containers: n.containers + 1, images: new Set([...n.images, wish.image]),
      reserved: { memoryBytes: n.reserved.memoryBytes + wish.reserve.memoryBytes, cpus: n.reserved.cpus + wish.reserve.cpus },
    });
    return nodeId;
  });
  return { nodes: now, placed };
}

test("every rejection says why, every score how; the one chosen is the best", () => {
  const nodes = [node("a", { alive: false, since: "2026-01-01T00:00:00Z" }), node("b", { memoryBytes: GB }), node("c", { containers: 5 }), node("d"), node("e", { images: new Set(["i"]) }), node("f", { availability: "drain" })];
  const placed = place(nodes, demand({ reserve: { memoryBytes: 2 * GB, cpus: 1 } }));
  assert.equal(placed.nodeId, "e");
  assert.deepEqual(placed.rejected.map((r) => [r.nodeId, r.filter, r.reason]), [
    ["a", "unreachable", "is unreachable since 2026-01-01T00:00:00Z"], ["b", "memory", `asks for ${2 * GB} bytes of memory, the node has ${GB}`], ["f", "drain", "is being drained"],
  ]);
  assert.deepEqual(placed.scores.map((s) => s.nodeId), ["e", "d", "c"]);
  assert.equal(place([], demand()).nodeId, null);
});

test("twelve containers over three empty hosts are four on each, wherever the image is", () => {
  const three = [node("a"), node("b", { images: new Set(["i"]) }), node("c")];
  for (const wish of [demand(), demand({ reserve: { memoryBytes: GB / 4, cpus: 0.1 } })]) {
    const { nodes } = fill(three, Array.from({ length: 12 }, () => wish));
    assert.deepEqual(nodes.map((n) => n.containers), [4, 4, 4]);
  }
});

test("a host with twice the CPUs takes twice as many", () => {
  const { nodes } = fill([node("a", { cpus: 8 }), node("b", { cpus: 4 })], Array.from({ length: 12 }, () => demand()));
  assert.deepEqual(nodes.map((n) => n.containers), [8, 4]);
});

test("a container goes to its volumes, to those whose namespaces it shares, to the others on its networks; to two places it cannot", () => {
  const nodes = ["a", "b", "c"].map((id) => node(id));
  assert.equal(place(nodes, demand({ volumes: [{ name: "v", nodeId: "c" }] })).nodeId, "c");
  assert.equal(place(nodes, demand({ withContainers: [{ ref: "x", nodeId: "b" }] })).nodeId, "b");
  const network = place(nodes, demand({ networks: [{ name: "front", nodeId: "b", container: "web" }] }));
  assert.deepEqual([network.nodeId, network.rejected[0]], ["b", { nodeId: "a", filter: "network", reason: "network front is on node b, with container web" }]);
  const torn = place(nodes, demand({ withContainers: [{ ref: "x", nodeId: "c" }], volumes: [{ name: "v", nodeId: "b" }] }));
  assert.equal(torn.nodeId, null);
  assert.deepEqual(torn.rejected.map((r) => r.reason), ["container x is on node c", "container x is on node c", "volume v is on node b"]);
});

test("a host port that is taken is avoided, and no rejection where there is no other way", () => {
  const taken = { ports: [{ port: "0.0.0.0:80/tcp", container: "web" }] };
  assert.equal(place([node("a", taken), node("b", { containers: 90 })], demand({ ports: ["127.0.0.1:80/tcp"] })).nodeId, "b");
  assert.equal(place([node("a", taken)], demand({ ports: ["0.0.0.0:80/tcp"] })).nodeId, "a");
  assert.ok(portsCollide("0.0.0.0:80/tcp", "10.0.0.1:80/tcp") && portsCollide(":::80/tcp", "0.0.0.0:80/tcp"));
  assert.ok(!portsCollide("10.0.0.2:80/tcp", "10.0.0.1:80/tcp") && !portsCollide("0.0.0.0:80/tcp", "0.0.0.0:80/udp") && !portsCollide("0.0.0.0:80/tcp", "0.0.0.0:8080/tcp"));
});

test("platforms: an image for other machines is not placed; one that does not tell goes anywhere", () => {
  const nodes = [node("a"), node("b", { architecture: "arm64" })];
  assert.equal(place(nodes, demand({ platform: { os: "linux", architecture: "arm64" } })).nodeId, "b");
  assert.equal(place(nodes, demand({ platform: { os: "linux", architecture: "arm64" } })).rejected[0]!.reason, "is linux/amd64, the image linux/arm64");
  assert.equal(place([node("a", { architecture: "", os: "" })], demand({ platform: { os: "linux", architecture: "arm64" } })).nodeId, "a");
});

test("constraints: nodes by name, labels, patterns, second choices", () => {
  const b = node("b", { labels: { disk: "ssd", rack: "r-12" } });
  const holds = (line: string) => satisfies(b, constraints(line)[0]!);
  for (const line of ["node==b", "node==host-b", "disk==ssd", "disk!=hdd", "rack==r-*", "node==h*t-*b", "gpu!=yes", "node.labels.disk==ssd", "node.id==b"]) assert.ok(holds(line), line);
  for (const line of ["node==a", "disk==hdd", "disk!=ssd", "gpu==yes", "rack==r-13*", "node==b*b"]) assert.ok(!holds(line), line);
  assert.equal(place([node("a"), b], demand({ constraints: constraints("disk==ssd") })).nodeId, "b");
  assert.equal(place([node("a", { containers: 50 }), b], demand({ constraints: constraints("disk!=~ssd") })).nodeId, "a");
  assert.equal(place([b], demand({ constraints: constraints("disk!=~ssd") })).nodeId, "b");
  assert.deepEqual(place([b], demand({ constraints: constraints("node==c") })).rejected, [{ nodeId: "b", filter: "constraint", reason: "does not satisfy node==c" }]);
});

test("constraints are read from the environment, which does not keep them, and from a label", () => {
  const { constraints: read, env } = readConstraints(["A=1", "constraint: disk == ssd"], { "gantry.node": "b" });
  assert.deepEqual(env, ["A=1"]);
  assert.deepEqual(read, [{ key: "disk", equal: true, soft: false, value: "ssd" }, { key: "node", equal: true, soft: false, value: "b" }]);
  for (const bad of ["disk=ssd", "==x", "a", "a==b c$"]) assert.throws(() => constraints(bad), { code: "INVALID" }, bad);
});

test("what is set aside: limits of a fleet, requests of one host; ports that are asked for by number", () => {
  const host = readHostConfig({ Memory: GB, NanoCpus: 5e8, PortBindings: { "80/tcp": [{ HostPort: "80" }, { HostPort: "" }], "53/udp": [{ HostIp: "10.0.0.1", HostPort: "53" }], "1/tcp": null } });
  assert.deepEqual(reservedBy(host, "limits"), { memoryBytes: GB, cpus: 0.5 });
  assert.deepEqual(reservedBy(host, "requests"), { memoryBytes: 0, cpus: 0 });
  assert.deepEqual(reservedBy({ ...host, MemoryReservation: GB / 2 }, "limits"), { memoryBytes: GB / 2, cpus: 0.5 });
  assert.deepEqual(reservedBy({ ...host, MemoryReservation: GB / 2 }, "requests"), { memoryBytes: GB / 2, cpus: 0 });
  assert.deepEqual(limitsOf({ ...host, NanoCpus: 0, CpuQuota: 150_000, CpuPeriod: 100_000 }), { memoryBytes: GB, cpus: 1.5 });
  assert.deepEqual(fixedPorts(host), ["0.0.0.0:80/tcp", "10.0.0.1:53/udp"]);
  assert.deepEqual(fixedPorts({ ...host, NetworkMode: "host" }), []);
});

const ID = fc.constantFrom("a", "b", "c", "d", "e");
const RESOURCES = fc.record({ memoryBytes: fc.integer({ min: 0, max: 9 * GB }), cpus: fc.integer({ min: 0, max: 900 }).map((n) => n / 100) });
const NODES = fc.uniqueArray(fc.record({
  nodeId: ID, alive: fc.boolean(), availability: fc.constantFrom<Candidate["availability"]>("active", "active", "drain"), cpus: fc.integer({ min: 1, max: 64 }),
  memoryBytes: fc.integer({ min: GB, max: 64 * GB }), containers: fc.integer({ min: 0, max: 30 }), labels: fc.record({ disk: fc.constantFrom("ssd", "hdd") }),
  architecture: fc.constantFrom("amd64", "arm64", ""), images: fc.subarray(["i", "j"]).map((images) => new Set(images)),
  ports: fc.subarray(["0.0.0.0:80/tcp", "0.0.0.0:81/tcp"]).map((ports) => ports.map((port) => ({ port, container: "x" }))),
}).map((given) => node(given.nodeId, given)), { selector: (n) => n.nodeId, maxLength: 5 });
const DEMAND = fc.record({
  reserve: RESOURCES, image: fc.constantFrom("i", "j", "k"), ports: fc.subarray(["0.0.0.0:80/tcp", "0.0.0.0:82/tcp"]),
  volumes: fc.array(fc.record({ name: fc.constant("v"), nodeId: ID }), { maxLength: 1 }),
  networks: fc.array(fc.record({ name: fc.constant("n"), nodeId: ID, container: fc.constant("web") }), { maxLength: 1 }),
  platform: fc.constantFrom(null, { os: "linux", architecture: "amd64" }),
  constraints: fc.constantFrom([], constraints("disk==ssd"), constraints("disk==~ssd")),
}).map((given) => demand(given));

test("property: a node is never promised more than it has", () => {
  fc.assert(fc.property(NODES, fc.array(DEMAND, { maxLength: 25 }), (nodes, demands) => {
    for (const { cpus, memoryBytes, reserved } of fill(nodes, demands).nodes) {
      assert.ok(reserved.memoryBytes <= memoryBytes);
      assert.ok(reserved.cpus <= cpus + 1e-3);
    }
  }));
});

test("property: every node is either scored or rejected with a reason, and a rejected one is never chosen", () => {
  fc.assert(fc.property(NODES, DEMAND, (nodes, wish) => {
    const { nodeId, rejected, scores } = place(nodes, wish);
    assert.deepEqual([...rejected, ...scores].map((n) => n.nodeId).sort(), nodes.map((n) => n.nodeId).sort());
    assert.ok(rejected.every((r) => r.reason.length > 5 && r.filter.length > 0));
    assert.equal(nodeId, scores[0]?.nodeId ?? null);
    const chosen = nodes.find((n) => n.nodeId === nodeId);
    assert.ok(chosen === undefined || (chosen.alive && chosen.availability === "active"));
    assert.ok(wish.volumes.every((v) => nodeId === null || v.nodeId === nodeId));
  }));
});

test("property: the order in which nodes are looked at changes nothing", () => {
  fc.assert(fc.property(NODES.chain((nodes) => fc.tuple(fc.constant(nodes), fc.shuffledSubarray(nodes, { minLength: nodes.length }))), DEMAND, ([nodes, shuffled], wish) => {
    assert.deepEqual(place(shuffled, wish), place(nodes, wish));
  }));
});

test("property: equal hosts never differ by more than one container", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 40 }), fc.constantFrom("i", "j"), (hosts, count, image) => {
    const { nodes } = fill(["a", "b", "c", "d", "e"].slice(0, hosts).map((id) => node(id, id === "c" ? { images: new Set([image]) } : {})), Array.from({ length: count }, () => demand({ image })));
    const counts = nodes.map((n) => n.containers);
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(" "));
  }));
});

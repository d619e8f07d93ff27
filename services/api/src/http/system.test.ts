import assert from "node:assert/strict";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { containerList, fail, imageList, imageStoreInfo, nodeList, type NodeView, registryLogin, schedulerInfo, volumeList } from "@gantry/contracts";
import { openRig } from "../test-rig.ts";

const node = (id: string, over: Partial<NodeView> = {}): NodeView => ({
  id, name: id, address: "unix:/run/node.sock", state: "ready", since: "2026-11-24T07:00:00Z", availability: "active", registeredAt: "2026-11-24T07:00:00Z", version: "0.1.0", labels: {},
  platform: {}, capacity: { cpus: 2, memoryBytes: 4 * 2 ** 30, diskBytes: null }, reserved: { cpus: 0, memoryBytes: 0 }, used: { memoryBytes: null, cpuLoad: null, diskFreeBytes: null },
  containers: { total: 0, running: 0 }, ...over,
});

test("ping tells the API version and the classic builder", async () => {
  await using rig = await openRig();
  const got = await rig.request("GET", "/_ping");
  assert.equal(got.status, 200);
  assert.equal(got.text, "OK");
  assert.equal(got.headers["api-version"], "1.51");
  assert.equal(got.headers["builder-version"], "1");
  assert.equal(got.headers["ostype"], "linux");
  assert.equal(got.headers["docker-experimental"], "false");
  assert.equal(got.headers["swarm"], "inactive");
  const head = await rig.request("HEAD", "/_ping");
  assert.equal(head.status, 200);
  assert.equal(head.headers["api-version"], "1.51");
});

test("versions outside 1.24 to 1.51 are refused in Docker's words", async () => {
  await using rig = await openRig();
  const newer = await rig.request("GET", "/v1.99/version");
  assert.equal(newer.status, 400);
  assert.deepEqual(newer.json, { message: "client version 1.99 is too new. Maximum supported API version is 1.51" });
  const older = await rig.request("GET", "/v1.23/version");
  assert.equal(older.status, 400);
  assert.match(older.message, /^client version 1\.23 is too old\. Minimum supported API version is 1\.24, please upgrade/);
  assert.equal((await rig.request("GET", "/v1.24/version")).json["ApiVersion"], "1.51");
});

test("what is not there says so", async () => {
  await using rig = await openRig();
  const nothing = await rig.request("GET", "/v1.51/nothing/here");
  assert.equal(nothing.status, 404);
  assert.deepEqual(nothing.json, { message: "page not found" });
  assert.equal((await rig.request("GET", "/images/search?term=x")).status, 501);
  assert.match((await rig.request("GET", "/services")).message, /^This node is not a swarm manager\./);
  assert.deepEqual((await rig.request("GET", "/plugins")).json, []);
  assert.match((await rig.request("GET", "/plugins/a/b/json")).message, /^plugin "a\/b" not found/);
  const unserved = await rig.request("GET", "/containers/json");
  assert.equal(unserved.status, 503);
});

test("the stock docker command prints version, info and ps", async () => {
  await using rig = await openRig();
  await rig.serve([
    on(schedulerInfo, async () => ({ containers: 3, running: 1, paused: 0, stopped: 2, nodes: [] })),
    on(nodeList, async () => ({ nodes: [node("n1", { name: "host1", labels: { rack: "a" }, platform: { cgroupVersion: "2", kernelVersion: "6.18.0" } })] })),
    on(imageStoreInfo, async () => ({ images: 7, layersSize: 1000 })),
    on(containerList, async () => ({ containers: [{
      Id: "a".repeat(64), Names: ["/web"], Image: "busybox", ImageID: `sha256:${"b".repeat(64)}`, Command: "sleep 60", Created: 1_700_000_000, Ports: [],
      Labels: {}, State: "running", Status: "Up 5 seconds", HostConfig: { NetworkMode: "default" }, NetworkSettings: { Networks: {} }, Mounts: [] }] })),
  ]);
  const version = await rig.docker(["version"]);
  assert.equal(version.code, 0, version.stderr);
  assert.match(version.stdout, /Server: Gantry\n Engine:\n\s+Version:\s+0\.1\.0\n\s+API version:\s+1\.51 \(minimum version 1\.24\)/);
  const info = await rig.docker(["info"]);
  assert.equal(info.code, 0, info.stderr);
  for (const line of [/Containers: 3\n {2}Running: 1/, /Images: 7/, /Storage Driver: overlay2/, /Cgroup Driver: cgroupfs/, /Cgroup Version: 2/, /Swarm: inactive/,
    /Kernel Version: 6\.18\.0/, /CPUs: 2/, /Total Memory: 4GiB/, /Name: host1/, /Default Runtime: gantry/, /rack=a/]) assert.match(info.stdout, line);
  assert.equal(info.stderr, "");
  assert.doesNotMatch(info.stdout, /Nodes:/);
  const ps = await rig.docker(["ps", "--format", "{{.ID}} {{.Names}} {{.Status}}"]);
  assert.equal(ps.stdout, "aaaaaaaaaaaa web Up 5 seconds\n");
});

test("docker info of several nodes: the sums of those that are ready, what all have in common, a line for each, a warning for what is cut off", async () => {
  await using rig = await openRig();
  const platform = { kernelVersion: "6.18.0", cgroupVersion: "1" };
  await rig.serve([
    on(schedulerInfo, async () => ({ containers: 9, running: 4, paused: 0, stopped: 5, nodes: [] })),
    on(imageStoreInfo, async () => ({ images: 7, layersSize: 1000 })),
    on(nodeList, async () => ({ nodes: [
      node("a", { platform: { ...platform, operatingSystem: "Debian" }, address: "https://10.0.0.3:7070", reserved: { cpus: 0.5, memoryBytes: 2 ** 29 }, containers: { total: 7, running: 3 } }),
      node("b", { platform: { ...platform, operatingSystem: "Other" }, availability: "drain" }),
      node("c", { platform, state: "unreachable", since: "2026-11-24T08:00:00.123456789Z", containers: { total: 2, running: 1 } }),
    ] })),
  ]);
  const info = await rig.docker(["info"]);
  assert.equal(info.code, 0, info.stderr);
  for (const line of [/Containers: 9/, /CPUs: 4\n Total Memory: 8GiB/, /Kernel Version: 6\.18\.0/, / {2}Nodes: 3 \(1 ready, 1 drained, 1 unreachable\)\n/,
    / {3}a: ready, 10\.0\.0\.3, 3 of 7 containers running, 0\.5 of 2 CPUs and 0\.50GiB of 4\.00GiB reserved\n/, / {3}b: drained, 0 of 0/, / {3}c: unreachable since 2026-11-24T08:00:00Z, 1 of 2/]) assert.match(info.stdout, line);
  assert.doesNotMatch(info.stdout, /Operating System: (Debian|Other)\n/);
  assert.match(info.stderr, /^WARNING: node c is unreachable since 2026-11-24T08:00:00Z: its containers run on/m);
});

test("docker login asks the registry through the image store", async () => {
  await using rig = await openRig();
  await rig.serve([on(registryLogin, async ({ username, password }) => {
    if (password !== "right") throw fail("UNAUTHORIZED", `login attempt of ${username} failed with status: 401 Unauthorized`);
    return { identityToken: "" };
  })]);
  const wrong = await rig.docker(["login", "-u", "me", "--password-stdin", "localhost:5000"], { input: "wrong" });
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /401 Unauthorized/);
  const right = await rig.docker(["login", "-u", "me", "--password-stdin", "localhost:5000"], { input: "right" });
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /Login Succeeded/);
});

test("docker system df counts images, containers and volumes", async () => {
  await using rig = await openRig();
  const image = { Id: `sha256:${"b".repeat(64)}`, ParentId: "", RepoTags: ["busybox:latest"], RepoDigests: [], Created: 1, Size: 2_000_000, SharedSize: 0, Labels: {}, Containers: -1 };
  await rig.serve([
    on(imageStoreInfo, async () => ({ images: 1, layersSize: 2_000_000 })),
    on(imageList, async () => ({ images: [image] })),
    on(containerList, async () => ({ containers: [{ Id: "a".repeat(64), Names: ["/web"], Image: "busybox", ImageID: image.Id, State: "running", SizeRw: 10, SizeRootFs: 20, Mounts: [{ Type: "volume", Name: "v" }] }] })),
    on(volumeList, async () => ({ volumes: [{ Name: "v", Driver: "local", Mountpoint: "/v", Labels: null, Options: null, Scope: "local" }] })),
  ]);
  const df = await rig.docker(["system", "df"]);
  assert.equal(df.code, 0, df.stderr);
  assert.match(df.stdout, /Images +1 +1 +2MB/);
  assert.match(df.stdout, /Containers +1 +1 +10B/);
  assert.match(df.stdout, /Local Volumes +1 +1/);
});

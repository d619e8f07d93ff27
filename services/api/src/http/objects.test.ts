import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { on } from "@gantry/bus";
import {
  containerCommit, containerKill, containerLocate, containerPrune, containerRemove, containerRename, containerRestart, containerStop, fail, networkConnect, networkCreate,
  networkDisconnect, networkInspect, networkList, networkPrune, networkRemove, nodeContainerChanges, nodeContainerTop, volumeCreate, volumeInspect, volumeList, volumePrune,
  volumeRemove,
} from "@gantry/contracts";
import { DEFAULT_DOMAIN } from "@gantry/oci";
import { pack } from "tar-stream";
import { openRig, type Rig } from "../test-rig.ts";

const ID = "c".repeat(64);

const located = (rig: Rig) => on(containerLocate, async () => ({
  id: ID, name: "web", nodeId: "n1", address: rig.services, tty: false, openStdin: false, status: "running", exitCode: 0, error: "", autoRemove: false,
  startedAt: "t1", finishedAt: "t0", image: "busybox", labels: {} }));

test("docker stop, kill, restart, rename, rm, commit, top and diff", async () => {
  await using rig = await openRig();
  const asked: unknown[] = [];
  const note = <T>(value: T) => async (body: unknown): Promise<T> => { asked.push(body); return value; };
  await rig.serve([
    located(rig),
    on(containerStop, note({ alreadyStopped: false })), on(containerKill, note({})), on(containerRestart, note({})), on(containerRename, note({})),
    on(containerRemove, async (body) => { asked.push(body); if (!body.force) throw fail("RUNNING", `cannot remove container "web": container is running: stop the container before removing or force remove`); return {}; }),
    on(containerCommit, note({ id: `sha256:${"d".repeat(64)}` })),
    on(containerPrune, note({ ids: [ID], spaceReclaimed: 5 })),
    on(nodeContainerTop, note({ Titles: ["PID", "CMD"], Processes: [["1", "sh"]] })),
    on(nodeContainerChanges, note({ changes: [{ Path: "/a", Kind: 1 }] })),
  ]);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await rig.docker(args);
    return code === 0 ? stdout.trim() : stderr.trim();
  };
  assert.equal(await run("stop", "-t", "3", "web"), "web");
  assert.equal(await run("kill", "-s", "HUP", "web"), "web");
  assert.equal(await run("restart", "web"), "web");
  assert.equal(await run("rename", "web", "new"), "");
  assert.match(await run("rm", "web"), /container is running: stop the container before removing or force remove/);
  assert.equal(await run("rm", "-fv", "web"), "web");
  assert.equal(await run("commit", "-a", "me", "-m", "why", "-c", "CMD sh", "web", "img:1"), `sha256:${"d".repeat(64)}`);
  assert.match(await run("container", "prune", "-f"), /Total reclaimed space: 5B/);
  assert.equal(await run("top", "web", "aux"), "PID                 CMD\n1                   sh");
  assert.equal(await run("diff", "web"), "A /a");
  assert.deepEqual(asked, [
    { ref: "web", timeout: 3, signal: null }, { ref: "web", signal: "HUP" }, { ref: "web", timeout: null, signal: null }, { ref: "web", name: "new" },
    { ref: "web", force: false, volumes: false }, { ref: "web", force: true, volumes: true },
    { ref: "web", repo: `${DEFAULT_DOMAIN}/library/img`, tag: "1", author: "me", comment: "why", pause: true, changes: ["CMD sh"], config: null }, { filters: {} },
    { id: ID, psArgs: "aux" }, { id: ID },
  ]);
});

test("docker network and docker volume", async () => {
  await using rig = await openRig();
  const asked: unknown[] = [];
  const network = { Name: "net", Id: ID, Created: "2026-01-01T00:00:00Z", Scope: "local", Driver: "bridge", IPAM: { Driver: "default", Config: [] }, Labels: {}, Options: {}, Containers: {} };
  const volume = { Name: "vol", Driver: "local", Mountpoint: "/m", Labels: null, Options: null, Scope: "local", CreatedAt: "2026-01-01T00:00:00Z" };
  await rig.serve([
    on(networkCreate, async ({ id, body }) => { asked.push(body["Name"], body["Labels"]); return { id, warning: "" }; }),
    on(networkList, async ({ filters }) => { asked.push(filters); return { networks: [network] }; }),
    on(networkInspect, async ({ ref }) => { if (ref !== "net") throw fail("NO_SUCH_NETWORK", `network ${ref} not found`); return { network }; }),
    on(networkConnect, async ({ endpoint, ...rest }) => { asked.push(rest, endpoint?.["Aliases"]); return {}; }),
    on(networkDisconnect, async (body) => { asked.push(body); return {}; }),
    on(networkRemove, async (body) => { asked.push(body); return {}; }),
    on(networkPrune, async () => ({ names: ["net"] })),
    on(volumeCreate, async ({ name }) => { asked.push(name); return { volume }; }),
    on(volumeList, async () => ({ volumes: [volume] })),
    on(volumeInspect, async ({ name }) => { if (name !== "vol") throw fail("NO_SUCH_VOLUME", `get ${name}: no such volume`); return { volume }; }),
    on(volumeRemove, async (body) => { asked.push(body); return {}; }),
    on(volumePrune, async ({ filters }) => { asked.push(filters); return { names: ["vol"], spaceReclaimed: 1 }; }),
  ]);
  const run = async (...args: string[]) => { const { code, stdout, stderr } = await rig.docker(args); return code === 0 ? stdout.trim() : stderr.trim(); };
  assert.match(await run("network", "create", "--label", "a=b", "net"), /^[0-9a-f]{64}$/);
  assert.equal(await run("network", "ls", "--filter", "name=net", "--format", "{{.ID}} {{.Name}}"), `${ID.slice(0, 12)} net`);
  assert.match(await run("network", "inspect", "net"), /"Name": "net"/);
  assert.match(await run("network", "inspect", "none"), /network none not found/);
  assert.equal(await run("network", "connect", "--alias", "x", "net", "web"), "");
  assert.equal(await run("network", "disconnect", "-f", "net", "web"), "");
  assert.equal(await run("network", "rm", "net"), "net");
  assert.match(await run("network", "prune", "-f"), /Deleted Networks:\nnet/);
  assert.equal(await run("volume", "create", "vol"), "vol");
  assert.equal(await run("volume", "ls", "-q"), "vol");
  assert.match(await run("volume", "inspect", "none"), /get none: no such volume/);
  assert.equal(await run("volume", "rm", "-f", "vol"), "vol");
  assert.match(await run("volume", "prune", "-f"), /Deleted Volumes:\nvol/);
  assert.deepEqual(asked, [
    "net", { a: "b" }, { name: ["net"] }, { ref: "net", container: "web" }, ["x"], { ref: "net", container: "web", force: true }, { ref: "net" },
    "vol", { name: "vol", force: true }, {},
  ]);
  const old = await rig.request("POST", "/v1.41/volumes/prune");
  assert.deepEqual(old.json["VolumesDeleted"], ["vol"]);
  assert.deepEqual(asked.at(-1), { all: ["true"] });
});

test("docker cp, both ways", async () => {
  const stat = { name: "file", size: 5, mode: 0o644, mtime: "2026-01-01T00:00:00Z", linkTarget: "" };
  const directory = { ...stat, name: "tmp", mode: 0o755 + 2 ** 31 };
  const archive = pack();
  archive.entry({ name: "file", mode: 0o644 }, "hello");
  archive.finalize();
  const tar = await buffer(archive);
  const put: { url: string; bytes: Buffer }[] = [];
  await using rig = await openRig(async (request, response) => {
    const path = new URL(request.url!, "http://x").searchParams.get("path")!;
    if (path === "/none") return response.writeHead(404).end('{"message":"Could not find the file /none in container web","code":"NO_SUCH_PATH"}');
    response.setHeader("X-Docker-Container-Path-Stat", Buffer.from(JSON.stringify(path === "/tmp" ? directory : stat)).toString("base64"));
    if (request.method === "PUT") put.push({ url: request.url!, bytes: await buffer(request) });
    response.end(request.method === "GET" ? tar : undefined);
  });
  await rig.serve([located(rig)]);
  const out = await rig.docker(["cp", "web:/file", join(rig.dir, "got")]);
  assert.equal(out.code, 0, out.stderr);
  assert.equal(await readFile(join(rig.dir, "got"), "utf8"), "hello");
  await mkdir(join(rig.dir, "from"));
  await writeFile(join(rig.dir, "from", "a"), "A");
  const into = await rig.docker(["cp", join(rig.dir, "from"), "web:/tmp"]);
  assert.equal(into.code, 0, into.stderr);
  assert.match(put[0]!.url, new RegExp(`^/v1/containers/${ID}/archive\\?.*path=%2Ftmp`));
  assert.ok(put[0]!.bytes.includes("from/a"));
  const none = await rig.docker(["cp", "web:/none", "-"]);
  assert.match(none.stderr, /Could not find the file \/none in container web/);
});

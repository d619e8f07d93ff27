import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  containerCommit, containerKill, containerRemove, containerRestart, containerStart, containerStop, networkCreate, networkRemove, nodeContainerStart, nodeContainerTop, volumeRemove,
} from "@gantry/contracts";
import { openDatabase } from "@gantry/database";
import { newId, silentLogger, systemClock } from "@gantry/kernel";
import * as scheduler from "@gantry/scheduler";
import { waitFor } from "@gantry/testkit";
import { extract, pack } from "tar-stream";
import { readAll, Rig, unframe } from "./testing/rig.ts";

/** Agent and scheduler with real containers, snapshots, networks and records. Needs root. */

const scope = new AsyncDisposableStack();
let rig: Rig;
before(async () => {
  rig = await Rig.open(scope, async ({ bus, dir }) => {
    const shared = { clock: systemClock, logger: silentLogger };
    const database = scope.use(await openDatabase<scheduler.SchedulerTables>(`sqlite:${join(dir, "db")}`, { ...scheduler.databaseOptions, ...shared }));
    await scheduler.start({ concurrency: 64, reserve: "limits" }, { bus, database, ...shared }, scope);
  });
});
after(() => scope.disposeAsync());

const sh = (line: string) => ({ Cmd: ["sh", "-c", line] });
const remove = (ref: string, volumes = false) => rig.bus.call(containerRemove, { ref, force: true, volumes });

async function tarOf(name: string, text: string): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name }, text);
  tar.finalize();
  return readAll(tar as AsyncIterable<Buffer>);
}

async function filesOf(tar: Buffer): Promise<Record<string, { text: string; uid: number; mode: number }>> {
  const files: Record<string, { text: string; uid: number; mode: number }> = {};
  const reader = extract();
  reader.end(tar);
  for await (const entry of reader) files[entry.header.name] = { text: (await readAll(entry as AsyncIterable<unknown> as AsyncIterable<Buffer>)).toString(), uid: entry.header.uid ?? -1, mode: entry.header.mode ?? -1 };
  return files;
}

test("a client attached before the start loses nothing; input goes in, the exit code comes out", async () => {
  const id = await rig.create({ ...sh("cat; echo to stderr >&2; exit 3"), OpenStdin: true, StdinOnce: true });
  const stream = await rig.upgrade(`/v1/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`);
  stream.end("typed before the start\n");
  const { alreadyStarted } = await rig.bus.call(containerStart, { ref: id });
  assert.equal(alreadyStarted, false);
  assert.equal(unframe(await readAll(stream)), "typed before the start\nto stderr\n");
  assert.equal((await rig.exited(id)).State.ExitCode, 3);
  assert.equal(await rig.logs(id), "typed before the start\nto stderr\n");
  assert.match(await rig.logs(id, "&timestamps=1&tail=1"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z to stderr\n$/);
  assert.deepEqual(rig.events.filter((e) => e.Actor.ID === id && e.Type === "container").map((e) => e.Action), ["create", "start", "die"]);
  await remove(id);
});

test("a program that is not there: Docker's words, exit code 127, and nothing half made", async () => {
  const id = await rig.create({ Cmd: ["nosuch"] }, "broken");
  await assert.rejects(rig.run({ Cmd: ["nosuch"], HostConfig: { AutoRemove: true } }, "broken-rm"), /exec: "nosuch": executable file not found in \$PATH/);
  await assert.rejects(rig.bus.call(nodeContainerStart, { id, epoch: 1 }, { node: "n1" }), { code: "START_FAILED" });
  const broken = await rig.until(id, (c) => c.State.ExitCode === 127);
  assert.equal(broken.State.Status, "created");
  await waitFor(async () => rig.inspect("broken-rm").then(() => false, () => true), { what: "--rm to take away what could not start" });
  await remove(id);
});

test("exec: output, input, exit codes, and what cannot be started", async () => {
  const id = await rig.run(sh("sleep 100"));
  assert.deepEqual(await rig.exec(id, sh("echo $X $HOSTNAME; exit 7")), { output: `${id.slice(0, 12)}\n`, exitCode: 7 });
  assert.deepEqual(await rig.exec(id, { ...sh("echo $X; id -u; pwd"), Env: ["X=y"], User: "nobody", WorkingDir: "/tmp" }), { output: "y\n65534\n/tmp\n", exitCode: 0 });
  assert.deepEqual(await rig.exec(id, { Cmd: ["cat"] }, "in and out\n"), { output: "in and out\n", exitCode: 0 });
  const missing = await rig.exec(id, { Cmd: ["nosuch"] });
  assert.match(missing.output, /exec: "nosuch": executable file not found in \$PATH/);
  assert.equal(missing.exitCode, 127);
  const { Titles, Processes } = await rig.bus.call(nodeContainerTop, { id, psArgs: "-eo pid,args" }, { node: "n1" });
  assert.deepEqual(Titles, ["PID", "COMMAND"]);
  assert.deepEqual(Processes.map((row) => row[1]), ["sleep 100"]);
  await remove(id);
  await assert.rejects(rig.exec(id, { Cmd: ["true"] }), { code: "NO_SUCH_CONTAINER" });
});

test("stop: the signal, then SIGKILL; a trapped signal ends it in its own way", async () => {
  const deaf = await rig.run(sh("trap '' TERM; while true; do sleep 1; done"));
  const polite = await rig.run(sh("trap 'exit 5' TERM; touch /tmp/ready; while true; do sleep 0.05; done"));
  await waitFor(async () => (await rig.exec(polite, { Cmd: ["test", "-f", "/tmp/ready"] })).exitCode === 0);
  assert.deepEqual(await rig.bus.call(containerStop, { ref: polite, timeout: 10, signal: null }), { alreadyStopped: false });
  assert.equal((await rig.inspect(polite)).State.ExitCode, 5);
  await rig.bus.call(containerStop, { ref: deaf, timeout: 0, signal: null });
  assert.equal((await rig.inspect(deaf)).State.ExitCode, 137);
  assert.deepEqual(await rig.bus.call(containerStop, { ref: deaf, timeout: 0, signal: null }), { alreadyStopped: true });
  await rig.bus.call(containerRestart, { ref: polite, timeout: 0, signal: "KILL" });
  assert.equal((await rig.inspect(polite)).State.Running, true);
  await rig.bus.call(containerKill, { ref: polite, signal: "KILL" });
  assert.equal((await rig.exited(polite)).State.ExitCode, 137);
  await assert.rejects(rig.bus.call(containerKill, { ref: polite, signal: "KILL" }), { code: "NOT_RUNNING" });
  const killed = rig.events.filter((e) => e.Actor.ID === deaf && ["kill", "die", "stop"].includes(e.Action)).map((e) => `${e.Action} ${e.Actor.Attributes["signal"] ?? e.Actor.Attributes["exitCode"] ?? ""}`);
  assert.deepEqual(killed, ["kill 15", "kill 9", "die 137", "stop "]);
  await Promise.all([remove(deaf), remove(polite)]);
});

test("restart policy: as often as it says, and a stop ends it", async () => {
  const failing = await rig.run({ ...sh("echo try; exit 4"), HostConfig: { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } } });
  const always = await rig.run({ ...sh("exit 0"), HostConfig: { RestartPolicy: { Name: "always" } } });
  const ended = await rig.until(failing, (c) => c.State.Status === "exited" && c.RestartCount === 2);
  assert.equal(ended.State.ExitCode, 4);
  assert.equal(await rig.logs(failing), "try\ntry\ntry\n");
  await rig.until(always, (c) => c.RestartCount >= 1);
  await rig.bus.call(containerStop, { ref: always, timeout: 0, signal: null });
  assert.equal((await rig.exited(always)).State.Running, false);
  await Promise.all([remove(failing), remove(always)]);
});

test("volumes: filled from the image once, there for docker cp of a stopped container, gone with rm -v", async () => {
  const id = await rig.run({ ...sh("cat /data/seed; echo more > /data/more; ls -ln /data/seed"), HostConfig: { Binds: ["keep:/data", "/anon"] } });
  await rig.exited(id);
  assert.match(await rig.logs(id), /^from the image\n-rw-r----- +1 7 +8 /);
  const archive = await rig.http("GET", `/v1/containers/${id}/archive?path=/data`);
  const files = await filesOf(archive.body);
  assert.deepEqual([files["data/seed"]?.text, files["data/more"]?.text], ["from the image\n", "more\n"]);
  const stat = JSON.parse(Buffer.from(String(archive.headers["x-docker-container-path-stat"]), "base64").toString()) as { name: string; mode: number };
  assert.equal(stat.name, "data");
  assert.equal((await rig.http("PUT", `/v1/containers/${id}/archive?path=/data`, await tarOf("sent", "by cp\n"))).status, 200);
  const missing = await rig.http("GET", `/v1/containers/${id}/archive?path=/nope`);
  assert.deepEqual([missing.status, (JSON.parse(missing.body.toString()) as { message: string }).message], [404, `Could not find the file /nope in container ${id}`]);
  const other = await rig.run({ ...sh("cat /mnt/sent; touch /mnt/x"), HostConfig: { Binds: ["keep:/mnt:ro"] } });
  await rig.exited(other);
  assert.match(await rig.logs(other), /^by cp\ntouch: \/mnt\/x: Read-only file system\n$/);
  await assert.rejects(rig.bus.call(volumeRemove, { name: "keep", force: false }), /volume is in use - \[/);
  const anonymous = (await rig.inspect(id)).Mounts.find((mount) => mount.Destination === "/anon")!;
  await Promise.all([remove(id, true), remove(other)]);
  assert.ok(!existsSync(anonymous.Source) && existsSync(join(rig.dir, "volumes/keep/_data/sent")));
  await rig.bus.call(volumeRemove, { name: "keep", force: false });
  await assert.rejects(rig.create({ HostConfig: { Mounts: [{ Type: "bind", Source: "/nope/x", Target: "/x" }] } }), { code: "INVALID", message: 'invalid mount config for type "bind": bind source path does not exist: /nope/x' });
});

test("commit: one layer of what was changed, without the places that are mounted over", async () => {
  const id = await rig.run(sh("echo 12345 > /new"));
  await rig.exited(id);
  await rig.bus.call(containerCommit, { ref: id, repo: "mine", tag: "1", author: "me", comment: "why", pause: true, changes: ["CMD cat /new"], config: null });
  const image = rig.images.made.at(-1)!;
  assert.deepEqual([image.tags, image.layers.length], [["mine:1"], 2]);
  const chunks = await readAll(await rig.content.open(image.layers[1]!.diffId));
  assert.deepEqual(Object.keys(await filesOf(chunks)), ["new"]);
  await remove(id);
});

test("user networks: names, published ports, and no bridge left", async () => {
  const networkId = newId();
  await rig.bus.call(networkCreate, { id: networkId, body: { Name: "front" } });
  const server = await rig.run({
    ...sh("mkdir /w; echo page > /w/index.html; exec httpd -f -h /w -p 80"), ExposedPorts: { "80/tcp": {} },
    HostConfig: { NetworkMode: "front", PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } }, NetworkingConfig: { EndpointsConfig: { front: { Aliases: ["alias"] } } },
  }, "server");
  const client = await rig.run({ ...sh("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://server/ && wget -qO- http://alias/ && exit 0; sleep 0.1; done; exit 1"), HostConfig: { NetworkMode: "front" } });
  const ended = await rig.exited(client);
  assert.deepEqual([ended.State.ExitCode, await rig.logs(client)], [0, "page\npage\n"]);
  const { Ports, Networks } = (await rig.inspect(server)).NetworkSettings;
  assert.deepEqual(Networks["front"]!.DNSNames, ["server", "alias", server.slice(0, 12)]);
  const page = await fetch(`http://127.0.0.1:${Ports["80/tcp"]![0]!.HostPort}/`);
  assert.equal(await page.text(), "page\n");
  await assert.rejects(rig.bus.call(networkRemove, { ref: "front" }), /network front has active endpoints \(name:"server"/);
  await Promise.all([remove(server), remove(client)]);
  await rig.bus.call(networkRemove, { ref: "front" });
  assert.ok(!(await rig.network.leftovers()).some((name) => name.includes(networkId.slice(0, 8))));
});

test("health checks turn healthy and unhealthy", async () => {
  const id = await rig.run({ ...sh("sleep 100"), Healthcheck: { Test: ["CMD-SHELL", "test ! -f /tmp/sick"], Interval: 100_000_000, Retries: 1 } });
  await rig.until(id, (c) => c.State.Health?.Status === "healthy");
  await rig.exec(id, { Cmd: ["touch", "/tmp/sick"] });
  await rig.until(id, (c) => c.State.Health?.Status === "unhealthy");
  await waitFor(() => rig.events.filter((e) => e.Actor.ID === id && e.Action.startsWith("health_status")).length === 2);
  await remove(id);
});

test("an agent that comes back finds what runs, and what ended without it", async () => {
  const alive = await rig.run({ ...sh("echo before; sleep 100"), HostConfig: { NetworkMode: "bridge" } });
  const dies = await rig.run(sh("while test ! -f /tmp/go; do sleep 0.05; done; sleep 0.3; exit 9"));
  const temporary = await rig.run({ ...sh("sleep 0.3"), HostConfig: { AutoRemove: true } });
  const { Pid } = (await rig.inspect(alive)).State;
  const address = (await rig.inspect(alive)).NetworkSettings.IPAddress;
  await rig.exec(dies, { Cmd: ["touch", "/tmp/go"] });
  await rig.stopAgent();
  const pid = (await rig.inspect(dies)).State.Pid;
  await waitFor(() => !existsSync(`/proc/${pid}`), { what: "it to end while no agent is there" });
  await rig.startAgent();
  assert.deepEqual([(await rig.until(alive, (c) => c.State.Running)).State.Pid, (await rig.inspect(alive)).NetworkSettings.IPAddress], [Pid, address]);
  assert.deepEqual(await rig.exec(alive, { Cmd: ["echo", "still here"] }), { output: "still here\n", exitCode: 0 });
  assert.equal((await rig.exited(dies)).State.ExitCode, 9);
  await waitFor(async () => rig.inspect(temporary).then(() => false, () => true), { what: "the --rm container to be gone" });
  const third = await rig.run({ ...sh("sleep 100"), HostConfig: { NetworkMode: "bridge" } });
  assert.notEqual((await rig.inspect(third)).NetworkSettings.IPAddress, address);
  await rig.bus.call(containerStop, { ref: alive, timeout: 0, signal: null });
  assert.equal((await rig.inspect(alive)).State.ExitCode, 137);
  assert.equal(await rig.logs(alive), "before\n");
  await Promise.all([remove(alive), remove(dies), remove(third)]);
});

test("an agent to which its bus comes later ends when it is told to, registered or not", { timeout: 60_000 }, async () => {
  await rig.stopAgent();
  await rig.startAgent({ busLater: true });
  await rig.stopAgent();
  await rig.startAgent();
});

test("commands of an earlier scheduler are refused, and nothing is left of what was removed", async () => {
  await assert.rejects(rig.bus.call(nodeContainerStart, { id: newId(), epoch: 0 }, { node: "n1" }), { code: "STALE_EPOCH" });
  assert.deepEqual(readdirSync(join(rig.dir, "containers")).filter((name) => !name.startsWith(".trash")), ["epoch"]);
  assert.ok(Number(readFileSync(join(rig.dir, "containers/epoch"), "utf8")) > 0, "the next agent refuses them too");
});

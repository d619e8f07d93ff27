import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { cgroupLayout, endSpawner, readLog, startRuntime } from "./index.ts";
import { connectUnix } from "./connection.ts";
import { encodeStart } from "./spec-wire.ts";
import { FrameSplitter, Kind } from "./wire.ts";
import { alive, eventually, parentOf, Rig } from "./test/rig.ts";

const run = promisify(execFile);

async function spawnerOf(rig: Rig): Promise<number> {
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (!words.includes("spawner") || !words.includes(rig.socket)) continue;
    const parent = await parentOf(Number(pid)).catch(() => 0);
    const above = (await readFile(`/proc/${parent}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (!above.includes(rig.socket)) return Number(pid);
  }
  throw new Error("no spawner");
}

test("a container outlives spawner and client, is found again, and says how it ended", async () => {
  await using rig = await Rig.make();
  const { container, spec } = await rig.sleeper();
  const monitor = await parentOf(container.pid);
  const spawner = await spawnerOf(rig);
  process.kill(spawner, "SIGKILL");
  await eventually(() => assert.ok(!alive(spawner)));
  await rig.runtime[Symbol.asyncDispose]();
  assert.ok(alive(container.pid) && alive(monitor));

  rig.runtime = await rig.connect();
  const found = await rig.runtime.find(spec.dir);
  assert.ok(found !== null && "pid" in found);
  assert.deepEqual([found.id, found.pid, found.startedAt], [container.id, container.pid, container.startedAt]);
  const exec = await found.exec(rig.execSpec(["sh", "-c", "exit 9"]));
  exec.stream.resume();
  assert.equal((await exec.exited).exitCode, 9);
  await found.kill(9);
  const status = await found.exited;
  assert.equal(status.exitCode, 137);
  assert.deepEqual(await rig.runtime.find(spec.dir), status);
});

test("it outlives a client process that is killed", async () => {
  await using rig = await Rig.make();
  const spec = await rig.spec(["sh", "-c", "echo before; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo after; exit 4"]);
  const program = join(rig.root, "client.ts");
  await writeFile(program, `
    import { startRuntime } from ${JSON.stringify(new URL("./index.ts", import.meta.url).pathname)};
    const runtime = await startRuntime({ socket: ${JSON.stringify(rig.socket)} });
    const { container } = await runtime.start(${JSON.stringify(spec)});
    console.log(container.pid);
  `);
  const client = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(String((await once(client.stdout, "data"))[0]));
  client.kill("SIGKILL");
  await once(client, "exit");
  assert.ok(alive(pid));
  await mkdir(join(rig.root, spec.rootfs.upper!, "tmp"), { recursive: true });
  const found = await rig.runtime.find(spec.dir);
  assert.ok(found !== null && "pid" in found);
  const exec = await found.exec(rig.execSpec(["touch", "/tmp/go"]));
  exec.stream.resume();
  assert.equal((await found.exited).exitCode, 4);
  const lines: string[] = [];
  for await (const record of readLog(spec.dir)) lines.push(record.data.toString());
  assert.deepEqual(lines, ["before", "after"]);
});

test("a monitor that is killed takes its container with it, and that is told", async () => {
  await using rig = await Rig.make();
  const first = await rig.sleeper();
  process.kill(await parentOf(first.container.pid), "SIGKILL");
  const status = await first.container.exited;
  assert.equal(status.exitCode, 137);
  assert.match(status.error ?? "", /monitor was killed/);
  assert.deepEqual(await rig.runtime.find(first.spec.dir), status);
  await eventually(() => assert.ok(!alive(first.container.pid)));

  const second = await rig.sleeper();
  const monitor = await parentOf(second.container.pid);
  await rig.runtime[Symbol.asyncDispose]();
  process.kill(monitor, "SIGKILL");
  rig.runtime = await rig.connect();
  const found = await eventually(async () => {
    const found = await rig.runtime.find(second.spec.dir);
    assert.ok(found !== null && !("pid" in found));
    return found;
  });
  assert.equal(found.exitCode, 137);
  const { mounts } = cgroupLayout();
  for (const mount of Object.values(mounts)) assert.ok(!existsSync(join(mount, second.spec.cgroup.path)), mount);
});

test("a client that goes before its streams are attached takes the start with it", async () => {
  await using rig = await Rig.make();
  const spec = await rig.spec(["true"]);
  const socket = await connectUnix(rig.socket);
  socket.write(encodeStart(spec, 1));
  const [frame] = new FrameSplitter().push((await once(socket, "data"))[0] as Buffer);
  assert.equal(frame?.kind, Kind.listening);
  socket.destroy();
  await eventually(() => assert.ok(!existsSync(join(spec.dir, "shim.sock"))));
  assert.equal(await rig.runtime.find(spec.dir), null);
  assert.equal((await (await rig.runtime.start(spec)).container.exited).exitCode, 0);
});

test("nonsense on the sockets hurts nobody", async () => {
  await using rig = await Rig.make();
  const { container, spec } = await rig.sleeper();
  for (const path of [rig.socket, join(spec.dir, "shim.sock")]) {
    for (const bytes of [[0, 0, 0, 0], [255, 255, 255, 255, 1], [1, 0, 0, 0, 99], [3, 0, 0, 0, 1, 1, 1], [9, 0, 0, 0, 0x17, 1, 2, 3, 4, 5, 6, 7, 8], [2, 0, 0]]) {
      const socket = await connectUnix(path);
      socket.on("error", () => {});
      socket.end(Buffer.from(bytes));
      socket.resume();
      if (bytes.length > 3) await new Promise<void>((resolve) => { socket.once("close", () => resolve()); });
      else socket.destroy();
    }
  }
  assert.deepEqual(await container.pids(), [container.pid]);
  await container.kill(9);
  await container.exited;
});

test("nothing is found where nothing was started", async () => {
  await using rig = await Rig.make();
  assert.equal(await rig.runtime.find((await rig.spec([])).dir), null);
});

test("a spawner that is gone is started again by the next start", async () => {
  await using rig = await Rig.make();
  await endSpawner(rig.socket);
  assert.ok(!existsSync(rig.socket));
  assert.equal((await rig.run(["true"])).status.exitCode, 0);
  await endSpawner(rig.socket);
  await endSpawner(rig.socket);
});

test("several clients share one spawner, and start at once", async () => {
  await using rig = await Rig.make();
  await using other = await rig.connect();
  const both = [rig.runtime, other];
  const codes = await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    const { container } = await both[i % 2]!.start(await rig.spec(["sh", "-c", `exit ${i}`]));
    return (await container.exited).exitCode;
  }));
  assert.deepEqual(codes, Array.from({ length: 16 }, (_, i) => i));
});

test("state directories may be deep", async () => {
  const directory = join(await mkdtemp(join(tmpdir(), "gantry-deep-")), "d".repeat(100), "e".repeat(100));
  await mkdir(directory, { recursive: true });
  {
    await using rig = await Rig.make({ directory });
    const { container, spec } = await rig.sleeper();
    const found = await rig.runtime.find(spec.dir);
    assert.ok(found !== null && "pid" in found);
    await container.kill(9);
    await container.exited;
  }
  await rm(join(directory, "../.."), { recursive: true });
});

test("nothing is left of 20 containers", async () => {
  await using rig = await Rig.make();
  const { container } = await rig.sleeper();
  const spawner = await spawnerOf(rig);
  const count = async () => ({
    mounts: (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(rig.root)).length,
    fds: (await readdir(`/proc/${spawner}/fd`)).length,
    cgroups: (await Promise.all(Object.values(cgroupLayout().mounts).map((m) => readdir(join(m, rig.cgroupParent)).catch(() => [])))).flat().filter((n) => n.length === 64).length,
    processes: (await run("ps", ["-eo", "args"])).stdout.split("\n").filter((line) => line.includes(rig.socket)).length,
    clientFds: (await readdir("/proc/self/fd")).length,
  });
  const before = await eventually(async () => {
    const now = await count();
    assert.equal(now.processes, 4, "spawner, two that wait, one monitor");
    return now;
  });
  for (let i = 0; i < 20; i++) assert.equal((await rig.run(["true"])).status.exitCode, 0);
  await eventually(async () => assert.deepEqual(await count(), before));
  await container.kill(9);
  await container.exited;
});

test("a spawner ends when its socket is removed", async () => {
  await using rig = await Rig.make();
  const spawner = await spawnerOf(rig);
  await rm(rig.socket);
  await eventually(() => assert.ok(!alive(spawner)));
});

test("a spawner older than the program on disk is replaced; its containers stay", async () => {
  await using rig = await Rig.make();
  const shim = join(rig.root, "shim");
  await endSpawner(rig.socket);
  await copyFile(new URL("../../../native/build/gantry-shim", import.meta.url), shim);
  await using first = await startRuntime({ socket: rig.socket, shim });
  const { container } = await first.start(await rig.spec(["sleep", "1000"]));
  const old = await spawnerOf(rig);
  await using same = await startRuntime({ socket: rig.socket, shim });
  assert.equal(await spawnerOf(rig), old, "a spawner of this program is kept");

  await rm(shim);
  await copyFile(new URL("../../../native/build/gantry-shim", import.meta.url), shim);
  await using newer = await startRuntime({ socket: rig.socket, shim });
  assert.notEqual(await spawnerOf(rig), old);
  assert.ok(alive(container.pid));
  await container.kill(9);
  assert.equal((await container.exited).exitCode, 137);
  void same;
  void newer;
});

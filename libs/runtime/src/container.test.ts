import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { eventually, Rig, seen } from "./test/rig.ts";

let rig: Rig;
before(async () => { rig = await Rig.make(); });
after(async () => { await rig[Symbol.asyncDispose](); });

test("exit codes", async () => {
  for (const code of [0, 1, 42, 255]) assert.equal((await rig.run(["sh", "-c", `exit ${code}`])).status.exitCode, code);
  assert.equal((await rig.run(["sh", "-c", "kill -9 $$; sleep 100"], { init: true })).status.exitCode, 137);
});

test("stdout and stderr come apart, complete and in order", async () => {
  const { stdout, stderr } = await rig.run(["sh", "-c", "seq 1 20000; seq 1 5000 >&2"]);
  const numbers = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1}\n`).join("");
  assert.equal(stdout, numbers(20_000));
  assert.equal(stderr, numbers(5_000));
});

const fails = async (args: string[], exitCode: number | undefined, message: RegExp, change = {}) => {
  await assert.rejects(rig.run(args, change), (e) => {
    assert.ok(isGantryError(e, "START_FAILED"), String(e));
    assert.match(e.message, message);
    assert.equal(e.details.exitCode, exitCode);
    return true;
  });
};

test("a program that cannot be executed fails the start, in Docker's words", async () => {
  const prefix = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: ";
  await fails(["nothing"], 127, new RegExp(`^${prefix}exec: "nothing": executable file not found in \\$PATH: unknown$`));
  await fails(["/nothing"], 127, /exec: "\/nothing": stat \/nothing: no such file or directory: unknown$/);
  await fails(["/etc/plain"], 126, /exec: "\/etc\/plain": permission denied: unknown$/);
  await fails(["/etc"], 126, /exec: "\/etc": is a directory: unknown$/);
  await fails(["true"], 126, /chdir to cwd \("\/etc\/passwd"\) set in config.json failed: not a directory: unknown$/, { cwd: "/etc/passwd" });
});

test("a file that is no program runs into an error of the container's own", async () => {
  const { status, stderr } = await rig.run(["/bin/script"]);
  assert.equal(status.exitCode, 255);
  assert.equal(stderr, "exec /bin/script: exec format error\n");
});

test("users and groups are the container's", async () => {
  assert.equal((await rig.run(["id"], { user: "alice" })).stdout, "uid=1000(alice) gid=1000(alice) groups=50(staff),1000(alice)\n");
  assert.equal((await rig.run(["id"], { user: "alice:audio" })).stdout, "uid=1000(alice) gid=29(audio) groups=29(audio)\n");
  assert.match((await rig.run(["id"], { user: "4711", additionalGroups: ["audio", "77"] })).stdout, /^uid=4711 gid=0\(root\) groups=0\(root\),29\(audio\),77/);
  assert.match((await rig.run(["env"], { user: "alice" })).stdout, /^HOME=\/home\/alice$/m);
  await fails(["true"], undefined, /^unable to find user bob: no matching entries in passwd file$/, { user: "bob" });
  await fails(["true"], undefined, /^unable to find group wheel: no matching entries in group file$/, { user: "alice:wheel" });
});

test("the working directory is made, umask and limits are set", async () => {
  const { stdout } = await rig.run(["sh", "-c", "pwd; umask; ulimit -n; ulimit -c"], {
    cwd: "/srv/deep", umask: 0o027, rlimits: [{ type: "nofile", soft: 1000, hard: 1200 }, { type: "RLIMIT_CORE", soft: 0, hard: 0 }],
  });
  assert.equal(stdout, "/srv/deep\n0027\n1000\n0\n");
});

test("stdin: from the client to the end it gives", async () => {
  const spec = await rig.spec(["cat"], { openStdin: true, stdinOnce: true });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: true, stderr: false }] });
  const big = "x".repeat(300_000);
  attached[0]!.end(big);
  let got = 0;
  for await (const chunk of attached[0]!) got += (chunk as Buffer).length;
  assert.equal((await container.exited).exitCode, 0);
  assert.ok(got > big.length, `${got} bytes with headers`);
});

test("stdin stays open without stdinOnce, and is empty without openStdin", async () => {
  const spec = await rig.spec(["sh", "-c", "read a; read b; echo $a-$b"], { openStdin: true });
  const { container } = await rig.runtime.start(spec);
  (await container.attach({ stdin: true, stdout: false, stderr: false })).end("one\n");
  const second = await container.attach({ stdin: true, stdout: true, stderr: false });
  second.write("two\n");
  assert.match(await seen(second, "\n"), /one-two/);
  assert.equal((await container.exited).exitCode, 0);
  assert.equal((await rig.run(["cat"])).status.exitCode, 0);
});

test("a terminal: size, resize, controlling, one stream", async () => {
  const script = 'trap "stty size; exit 3" WINCH; stty size; readlink /proc/self/fd/0; echo err >&2; echo ready; while :; do sleep 0.05; done';
  const spec = await rig.spec(["sh", "-c", script], { terminal: true, openStdin: true, consoleHeight: 31, consoleWidth: 97 });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: true, stderr: true }] });
  assert.equal(await seen(attached[0]!, "ready\r\n"), "31 97\r\n/dev/pts/0\r\nerr\r\nready\r\n");
  const after31 = seen(attached[0]!, "40 120");
  await container.resize({ height: 40, width: 120 });
  await after31;
  assert.equal((await container.exited).exitCode, 3);
});

test("a terminal passes on input and its signals", async () => {
  const spec = await rig.spec(["cat"], { terminal: true, openStdin: true });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: true, stderr: true }] });
  attached[0]!.write("hello\n");
  assert.match(await seen(attached[0]!, "hello\r\nhello\r\n"), /^hello/);
  attached[0]!.write("\x04");
  assert.equal((await container.exited).exitCode, 0);
});

test("several are attached at once, before the start and later", async () => {
  const spec = await rig.spec(["sh", "-c", "echo first; read x; echo $x"], { openStdin: true });
  const both = [{ stdin: false, stdout: true, stderr: true }, { stdin: true, stdout: true, stderr: true }];
  const { container, attached } = await rig.runtime.start(spec, { attach: both });
  await Promise.all(attached.map((stream) => seen(stream, "first\n")));
  const late = await container.attach({ stdin: false, stdout: true, stderr: true });
  const ends = [...attached, late].map((stream) => seen(stream, "over\n"));
  attached[1]!.write("over\n");
  await Promise.all(ends);
  await container.exited;
});

test("a client that does not read holds the container up, and one that goes away lets it run on", async () => {
  const spec = await rig.spec(["sh", "-c", "dd if=/dev/zero bs=65536 count=200; echo done >&2"]);
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: false, stdout: true, stderr: true }] });
  attached[0]!.pause();
  const stuck = async () => Number(/^wchar: (\d+)$/m.exec(await readFile(`/proc/${(await container.pids()).at(-1)!}/io`, "utf8"))![1]);
  let last = -1;
  await eventually(async () => {
    const now = await stuck();
    const same = now === last;
    last = now;
    assert.ok(same && now > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
  assert.ok(last < 200 * 65536, "it was held up");
  attached[0]!.destroy();
  assert.equal((await container.exited).exitCode, 0);
});

test("kill by number; pause and resume; pids", async () => {
  const { container } = await rig.sleeper();
  assert.deepEqual(await container.pids(), [container.pid]);
  await container.pause();
  const state = async () => /^State:\s*(\S)/m.exec(await readFile(`/proc/${container.pid}/status`, "utf8"))![1];
  await assert.rejects(container.exec(rig.execSpec(["true"])), /paused/);
  await container.resume();
  assert.equal(await state(), "S");
  await container.kill(9);
  assert.equal((await container.exited).exitCode, 137);
  await assert.rejects(container.kill(9), (e) => isGantryError(e, "NOT_RUNNING"));
});

test("SIGKILL ends a paused container", async () => {
  const { container } = await rig.sleeper();
  await container.pause();
  await container.kill(9);
  assert.equal((await container.exited).exitCode, 137);
});

test("--init reaps, forwards signals and hands on the exit code", async () => {
  const script = 'trap "exit 7" TERM; (sleep 0.01 &) ; echo up; while :; do sleep 0.02; done';
  const spec = await rig.spec(["sh", "-c", script], { init: true });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: false, stdout: true, stderr: true }] });
  await seen(attached[0]!, "up\n");
  assert.equal((await readFile(`/proc/${container.pid}/comm`, "utf8")).trim(), "gantry-init");
  await container.kill(15);
  assert.equal((await container.exited).exitCode, 7);
});

test("bind mounts, made where they are missing; read-only; tmpfs", async () => {
  const host = join(rig.root, "volume");
  await mkdir(join(host, "sub"), { recursive: true });
  await writeFile(join(host, "file"), "content\n");
  const mounts = (await rig.spec([])).mounts;
  const { stdout, stderr } = await rig.run(["sh", "-c", "cat /data/in/file /one; touch /data/in/new; touch /ro/new; touch /scratch/x && echo ok"], {
    mounts: [
      ...mounts,
      { destination: "/data/in", type: "bind", source: host, options: ["rbind", "rw", "rprivate"] },
      { destination: "/ro", type: "bind", source: host, options: ["rbind", "ro", "rprivate"] },
      { destination: "/one", type: "bind", source: join(host, "file"), options: ["rbind", "ro"] },
      { destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "nodev", "size=1m"] },
    ],
  });
  assert.equal(stdout, "content\ncontent\nok\n");
  assert.match(stderr, /\/ro\/new: Read-only file system/);
  assert.equal(await readFile(join(host, "new"), "utf8"), "");
  await fails(["true"], undefined, /error mounting "\/no\/such" to rootfs at "\/x": stat \/no\/such: no such file or directory/, {
    mounts: [...mounts, { destination: "/x", type: "bind", source: "/no/such", options: ["rbind"] }],
  });
});

test("links in an image lead nowhere outside of it", async () => {
  const { stdout } = await rig.run(["sh", "-c", "ls /etc/trap"], {
    mounts: [...(await rig.spec([])).mounts, { destination: "/trap/dir", type: "tmpfs", source: "tmpfs", options: [] }],
    cwd: "/etc/trap",
  });
  assert.equal(stdout, "");
});

test("a read-only root", async () => {
  const { stderr, status } = await rig.run(["sh", "-c", "touch /dev/shm/x && touch /new"], { readonlyRootfs: true });
  assert.match(stderr, /Read-only file system/);
  assert.equal(status.exitCode, 1);
});

test("a failed start leaves nothing and can be repeated", async () => {
  const spec = await rig.spec(["nothing"]);
  await assert.rejects(rig.runtime.start(spec), /not found/);
  assert.equal(await rig.runtime.find(spec.dir), null);
  const { container } = await rig.runtime.start({ ...spec, args: ["true"] });
  assert.equal((await container.exited).exitCode, 0);
  const again = await rig.runtime.start({ ...spec, args: ["false"] });
  assert.equal((await again.container.exited).exitCode, 1);
});

test("a running container is not started again", async () => {
  const { container, spec } = await rig.sleeper();
  await assert.rejects(rig.runtime.start(spec), (e) => isGantryError(e, "RUNNING"));
  await container.kill(9);
  assert.equal((await container.exited).exitCode, 137);
});

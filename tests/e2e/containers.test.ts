/** Running, looking into and removing containers with the stock docker command. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Engine, eventually } from "./support/engine.ts";
import { hostThings, newThings } from "./support/leftovers.ts";
import { freePort } from "./support/registry.ts";

let engine: Engine;
before(async () => {
  engine = await Engine.start();
  await engine.loadBase("busybox");
});
after(() => engine[Symbol.asyncDispose]());

test("output, errors and exit codes are docker's", async () => {
  assert.deepEqual(await engine.docker(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]), { code: 3, stdout: "out\n", stderr: "err\n" });
  const missing = await engine.docker(["run", "--rm", "busybox", "no-such-program"]);
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /exec: "no-such-program": executable file not found in \$PATH/);
  const denied = await engine.docker(["run", "--rm", "busybox", "/etc/passwd"]);
  assert.equal(denied.code, 126);
  assert.match(denied.stderr, /permission denied/);
  assert.equal((await engine.docker(["run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"])).code, 137);
  const image = await engine.docker(["run", "--rm", "localhost:1/no/such:image"]);
  assert.equal(image.code, 125);
  assert.match(image.stderr, /^Unable to find image 'localhost:1\/no\/such:image' locally/);
});

test("stdin, environment, directory, user and entrypoint", async () => {
  assert.equal(await engine.ok(["run", "--rm", "-i", "busybox", "tr", "a-z", "A-Z"], { input: "shout\n" }), "SHOUT");
  const seen = await engine.ok(["run", "--rm", "-e", "COLOUR=blue", "-w", "/made/here", "-u", "www-data", "--hostname", "box", "busybox", "sh", "-c", "echo $COLOUR $(pwd) $(id -un) $(hostname) $HOME"]);
  assert.equal(seen, "blue /made/here www-data box /var/www");
  assert.equal(await engine.ok(["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]), "a b");
});

test("every namespace of a container with a user namespace is its own", async () => {
  const kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
  const inside = await engine.ok(["run", "--rm", "--security-opt", "userns=private", "busybox", "sh", "-c", `for n in ${kinds.join(" ")}; do readlink /proc/self/ns/$n; done`]);
  const host = kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
  const own = inside.split("\n");
  assert.deepEqual(own.map((link) => link.replace(/:.*/, "")), kinds);
  for (const [i, link] of own.entries()) assert.notEqual(link, host[i]);
});

test("a terminal: stdout is one, and has the size asked for", async () => {
  const { stdout } = await engine.docker(["run", "--rm", "-t", "busybox", "sh", "-c", "test -t 1 && echo terminal"]);
  assert.equal(stdout, "terminal\r\n");
});

test("logs, exec, top, cp, stop and the states of a container", async () => {
  const id = await engine.ok(["run", "-d", "--name", "steady", "busybox", "sh", "-c", "echo one; echo two >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done"]);
  await eventually("both lines in the log", async () => (await engine.docker(["logs", "steady"])).stderr === "two\n");
  assert.equal((await engine.docker(["logs", "steady"])).stdout, "one\n");
  assert.match((await engine.docker(["logs", "-t", "--tail", "1", "steady"])).stderr, /^\d{4}-\d\d-\d\dT[0-9:.]+Z two\n$/);
  assert.equal(await engine.ok(["exec", "-e", "A=b", "-u", "nobody", "steady", "sh", "-c", "echo $A $(id -un)"]), "b nobody");
  assert.equal((await engine.docker(["exec", "steady", "sh", "-c", "exit 9"])).code, 9);
  assert.match(await engine.ok(["top", "steady"]), /UID\s+PID[\s\S]*sh -c echo one/);

  const dir = mkdtempSync(join(tmpdir(), "gantry-cp-"));
  try {
    writeFileSync(join(dir, "in"), "copied\n");
    await engine.ok(["cp", join(dir, "in"), "steady:/tmp/there"]);
    assert.equal(await engine.ok(["exec", "steady", "cat", "/tmp/there"]), "copied");
    await engine.ok(["cp", "steady:/etc/passwd", join(dir, "out")]);
    assert.match(readFileSync(join(dir, "out"), "utf8"), /^root:/);
  } finally {
    rmSync(dir, { recursive: true });
  }

  assert.equal(await engine.ok(["inspect", "-f", "{{.State.Running}} {{.Id}}", "steady"]), `true ${id}`);
  assert.equal((await engine.docker(["rm", "steady"])).code, 1);
  await engine.ok(["stop", "steady"]);
  assert.equal(await engine.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "steady"]), "exited 7");
  assert.match(await engine.ok(["ps", "-a", "--format", "{{.Status}}"]), /^Exited \(7\) /);
  await engine.ok(["start", "steady"]);
  await engine.ok(["kill", "-s", "KILL", "steady"]);
  assert.equal(await engine.ok(["wait", "steady"]), "137");
  await engine.ok(["rm", "steady"]);
  assert.equal(await engine.ok(["ps", "-aq"]), "");
});

test("logs are bounded as --log-opt says; what is no option is refused in Docker's words", async () => {
  await engine.ok(["run", "--name", "chatty", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "busybox", "seq", "1", "5000"]);
  const kept = (await engine.ok(["logs", "chatty"])).split("\n");
  assert.ok(kept.length > 300 && kept.length < 1_000, String(kept.length));
  assert.deepEqual(kept, Array.from({ length: kept.length }, (_, i) => String(5_000 - kept.length + 1 + i)));
  assert.deepEqual((await engine.ok(["logs", "--tail", "300", "chatty"])).split("\n"), kept.slice(-300));
  await engine.ok(["rm", "chatty"]);
  for (const [option, message] of [
    ["max-size=lots", /invalid size: 'lots'/], ["max-file=0", /max-file cannot be less than 1/], ["colour=blue", /unknown log opt 'colour' for json-file log driver/],
  ] as const) assert.match((await engine.docker(["create", "--log-opt", option, "busybox"])).stderr, message);
  assert.match((await engine.docker(["create", "--log-driver", "pigeon", "busybox"])).stderr, /logger: no log driver named 'pigeon' is registered/);
});

test("update: limits hold at once, the restart policy from the next end on", async () => {
  const limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
  await engine.ok(["run", "-d", "--name", "changing", "-m", "64m", "--pids-limit", "20", "busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]);
  assert.equal(await engine.ok(["inspect", "-f", "{{.HostConfig.MemorySwap}}", "changing"]), String(128 << 20));
  assert.equal(await engine.ok(["update", "-m", "32m", "--memory-swap", "96m", "--pids-limit", "-1", "--cpus", "1.5", "--restart", "on-failure:1", "changing"]), "changing");
  assert.equal(await engine.ok(["exec", "changing", "sh", "-c", limit]), String(32 << 20));
  assert.match(await engine.ok(["exec", "changing", "sh", "-c", "cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max"]), /^max$/);
  assert.equal(
    await engine.ok(["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "changing"]),
    `${32 << 20} ${96 << 20} 1500000000 on-failure 1`,
  );
  const refused = await engine.docker(["update", "-m", "1g", "changing"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Conflicting options: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time/);
  assert.match((await engine.docker(["update", "--cpuset-cpus", "4000", "changing"])).stderr, /Cannot update container [0-9a-f]{64}: /);
  assert.equal(await engine.ok(["inspect", "-f", "{{.HostConfig.CpusetCpus}}", "changing"]), "");
  await engine.ok(["exec", "changing", "kill", "1"]);
  await eventually("the one restart", async () => await engine.ok(["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "changing"]) === "1 running");
  assert.equal(await engine.ok(["exec", "changing", "sh", "-c", limit]), String(32 << 20), "what was updated holds for the next start");
  assert.match(await engine.ok(["events", "--since", "1m", "--until", "0s", "--filter", "container=changing", "--filter", "event=update"]), /container update [0-9a-f]{64} /);
  assert.equal((await engine.docker(["update", "--restart", "no", "nobody"])).code, 1);
  await engine.ok(["rm", "-f", "changing"]);
});

test("networks: names resolve, ports are published, networks are apart", async () => {
  const port = await freePort();
  await engine.ok(["network", "create", "shop"]);
  await engine.ok(["run", "-d", "--name", "web", "--network", "shop", "-p", `${port}:80`, "busybox", "sh", "-c", "echo hello from web > /tmp/index.html; exec httpd -f -h /tmp"]);
  await eventually("the published port to answer", () => fetch(`http://127.0.0.1:${port}/`).then(async (r) => (await r.text()) === "hello from web\n", () => false));
  assert.equal(await engine.ok(["run", "--rm", "--network", "shop", "busybox", "wget", "-qO-", "http://web/"]), "hello from web");
  assert.match(await engine.ok(["run", "--rm", "--network", "shop", "busybox", "cat", "/etc/resolv.conf"]), /^nameserver 127\.0\.0\.11$/m);
  assert.notEqual((await engine.docker(["run", "--rm", "--dns", "127.0.0.1", "busybox", "wget", "-T", "2", "-qO-", "http://web/"])).code, 0);
  const taken = await engine.docker(["run", "--rm", "-p", `${port}:80`, "busybox", "true"]);
  assert.equal(taken.code, 125);
  assert.match(taken.stderr, /port is already allocated/);
  assert.match((await engine.docker(["network", "rm", "shop"])).stderr, /has active endpoints/);
  await engine.ok(["rm", "-f", "web"]);
  await engine.ok(["network", "rm", "shop"]);
});

test("volumes: kept, filled from the image, removed with --rm when anonymous", async () => {
  await engine.ok(["volume", "create", "kept"]);
  await engine.ok(["run", "--rm", "-v", "kept:/data", "busybox", "sh", "-c", "echo here > /data/file"]);
  assert.equal(await engine.ok(["run", "--rm", "-v", "kept:/data:ro", "busybox", "cat", "/data/file"]), "here");
  assert.match(await engine.ok(["run", "--rm", "-v", "fresh:/etc", "busybox", "cat", "/etc/passwd"]), /^root:/);
  const before = await engine.ok(["volume", "ls", "-q"]);
  await engine.ok(["run", "--rm", "-v", "/anonymous", "busybox", "true"]);
  await eventually("the anonymous volume to go", async () => (await engine.ok(["volume", "ls", "-q"])) === before);
  await engine.ok(["volume", "rm", "kept", "fresh"]);
});

test("commit, save, load, import, tag and rmi", async () => {
  await engine.ok(["run", "--name", "change", "busybox", "sh", "-c", "echo new > /added; rm /etc/group"]);
  assert.match(await engine.ok(["diff", "change"]), /A \/added/);
  await engine.ok(["commit", "-c", "CMD [\"cat\", \"/added\"]", "change", "changed:v1"]);
  await engine.ok(["rm", "change"]);
  assert.equal(await engine.ok(["run", "--rm", "changed:v1"]), "new");
  const dir = mkdtempSync(join(tmpdir(), "gantry-save-"));
  try {
    const id = await engine.ok(["image", "inspect", "-f", "{{.Id}}", "changed:v1"]);
    await engine.ok(["save", "-o", join(dir, "image.tar"), "changed:v1"]);
    assert.match(await engine.ok(["rmi", "changed:v1"]), /Untagged: changed:v1\nDeleted: sha256:/);
    assert.equal(await engine.ok(["load", "-i", join(dir, "image.tar")]), "Loaded image: changed:v1");
    assert.equal(await engine.ok(["image", "inspect", "-f", "{{.Id}}", "changed:v1"]), id);
    assert.equal(await engine.ok(["run", "--rm", "changed:v1", "ls", "/etc/passwd"]), "/etc/passwd");
    assert.notEqual((await engine.docker(["run", "--rm", "changed:v1", "ls", "/etc/group"])).code, 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
  await engine.ok(["rmi", "changed:v1"]);
});

test("what is not there yet says so", async () => {
  const answer = await engine.docker(["service", "ls"]);
  assert.equal(answer.code, 1);
  assert.match(answer.stderr, /swarm/i);
});

test("nothing is left behind by 50 containers", async () => {
  await engine.ok(["run", "--rm", "busybox", "true"]); // what the first one makes once stays
  const before = await hostThings(engine.dir);
  for (let batch = 0; batch < 10; batch++) {
    await Promise.all(Array.from({ length: 5 }, () => engine.ok(["run", "--rm", "busybox", "sh", "-c", "echo x > /file"])));
  }
  await eventually("everything of the containers to be gone", async () => newThings(before, await hostThings(engine.dir)).length === 0).catch(async () => {
    assert.deepEqual(newThings(before, await hostThings(engine.dir)), []);
  });
});

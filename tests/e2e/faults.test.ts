/** Containers outlive the services, and are found again. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
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

test("a killed engine: containers run on, are found again with logs, ports and exit codes", async () => {
  const port = await freePort();
  await engine.ok(["network", "create", "net"]);
  await engine.ok(["run", "-d", "--name", "server", "--network", "net", "-p", `${port}:80`, "busybox", "sh", "-c", "echo up > /tmp/index.html; exec httpd -f -h /tmp"]);
  await engine.ok(["run", "-d", "--name", "ends", "busybox", "sh", "-c", "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 5"]);
  const pid = await engine.ok(["inspect", "-f", "{{.State.Pid}}", "server"]);
  const endsPid = await engine.ok(["inspect", "-f", "{{.State.Pid}}", "ends"]);

  await engine.stop("SIGKILL");
  await eventually("the port to answer without an engine", () => fetch(`http://127.0.0.1:${port}/`).then(async (r) => (await r.text()) === "up\n", () => false));
  writeFileSync(`/proc/${endsPid}/root/tmp/go`, "");
  await eventually("the container to end without an engine", async () => !existsSync(`/proc/${endsPid}`));

  await engine.up();
  assert.equal(await engine.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "server"]), `running ${pid}`);
  await eventually("the exit that nobody saw", async () => (await engine.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends"])) === "exited 5");
  assert.equal(await engine.ok(["logs", "ends"]), "before\nafter");
  assert.equal(await engine.ok(["exec", "server", "cat", "/tmp/index.html"]), "up");
  assert.equal(await engine.ok(["run", "--rm", "--network", "net", "busybox", "wget", "-qO-", "http://server/"]), "up");
  await engine.ok(["rm", "-f", "server", "ends"]);
  await engine.ok(["network", "rm", "net"]);
});

test("restart policies hold through a crash of the container and of the engine", async () => {
  await engine.ok(["run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "1000"]);
  const first = await engine.ok(["inspect", "-f", "{{.State.Pid}}", "again"]);
  process.kill(Number(first), "SIGKILL");
  const second = await eventually("another process", async () => {
    const now = await engine.ok(["inspect", "-f", "{{.State.Pid}}", "again"]);
    return now !== first && now !== "0" ? now : null;
  });
  await engine.stop("SIGKILL");
  process.kill(Number(second), "SIGKILL");
  await engine.up();
  await eventually("it to run again", async () => /^running [1-9]/.test(await engine.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "again"])));
  await engine.ok(["rm", "-f", "again"]);
});

test("gantry down leaves no trace, and two engines run side by side", async () => {
  await engine.ok(["run", "--rm", "busybox", "true"]); // what the first one makes once stays
  const before = await hostThings(engine.dir);
  let dir: string;
  {
    await using other = await Engine.start();
    dir = other.dir;
    await other.loadBase("busybox");
    await other.ok(["network", "create", "net"]);
    await other.ok(["run", "-d", "--name", "same-name", "--network", "net", "busybox", "sleep", "1000"]);
    await engine.ok(["run", "-d", "--name", "same-name", "busybox", "sleep", "1000"]);
    assert.equal(await other.ok(["ps", "--format", "{{.Names}}"]), "same-name");
    assert.equal(await engine.ok(["ps", "--format", "{{.Names}}"]), "same-name");
    await engine.ok(["rm", "-f", "same-name"]);
  }
  assert.deepEqual(newThings(before, await hostThings(engine.dir, dir)), []);
});

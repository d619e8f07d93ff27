/** Processes that are killed and hosts that are gone: containers go on, and are known again. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

test("SIGKILL of an agent: its containers run on, are known again, and exit codes are not lost", async (t) => {
  t.after(async () => {
    await bed.docker(["rm", "-f", "stays", "ends"]);
    await bed.docker(["volume", "rm", "-f", "pair"]);
    await bed.ready();
  });
  await bed.ok(["volume", "create", "pair"]);
  await bed.ok(["run", "-d", "--name", "stays", "-v", "pair:/pair", "busybox", "sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done"]);
  await bed.ok(["run", "-d", "--name", "ends", "-v", "pair:/pair", "busybox", "sh", "-c", "while [ ! -e /pair/go ]; do sleep 0.05; done; echo gone; exit 7"]);
  const host = await bed.hostOf("stays");
  assert.equal(await bed.hostOf("ends"), host);
  const pid = await bed.ok(["inspect", "-f", "{{.State.Pid}}", "stays"]);
  const endsPid = await bed.ok(["inspect", "-f", "{{.State.Pid}}", "ends"]);

  await bed.kill(host);
  assert.equal((await bed.exec(host, "kill", ["-0", pid])).code, 0);
  const volume = await bed.exec(host, "find", [bed.hosts[host]!.dir, "-type", "d", "-path", "*/volumes/pair/_data"]);
  assert.equal((await bed.exec(host, "touch", [`${volume.stdout.trim()}/go`])).code, 0);
  await eventually("the container to end without an agent", async () => (await bed.exec(host, "kill", ["-0", endsPid])).code !== 0);
  // The others are not in the way of new work.
  await bed.start(host);

  await eventually("the exit that nobody saw", async () => (await bed.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends"])) === "exited 7");
  assert.equal(await bed.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "stays"]), `running ${pid}`);
  assert.equal(await bed.ok(["logs", "ends"]), "gone");
  assert.equal(await bed.ok(["exec", "stays", "echo", "reached"]), "reached");
  const counted = (await bed.ok(["logs", "stays"])).split("\n").map(Number);
  assert.deepEqual(counted, counted.map((_, i) => i + 1), "no line is lost or told twice");
});

test("SIGKILL of an agent while docker runs are attached and write: each ends with its exit code, and its log is whole", async (t) => {
  const host = "agent-2";
  const slow = Array.from({ length: 5 }, (_, i) => `slow${i + 1}`);
  const fast = "fast";
  t.after(async () => {
    await bed.ready();
    await bed.docker(["rm", "-f", ...slow, fast]);
  });
  const count = (to: number, pause: string) => `i=0; while [ $i -lt ${to} ]; do i=$((i+1)); echo $i; ${pause}; done`;
  const attached = (name: string, script: string) => bed.docker(["run", "--name", name, "-e", `constraint:node==${host}`, "busybox", "sh", "-c", script]);
  const runs = [...slow.map((name, i) => attached(name, `${count(60, "sleep 0.1")}; exit ${i + 1}`)), attached(fast, `${count(200_000, ":")}; exit 9`)];
  await eventually("all to run", async () => (await bed.ok(["ps", "-q", "--filter", "name=^(slow|fast)"])).split("\n").filter(Boolean).length >= slow.length);
  await bed.kill(host);
  await bed.start(host);
  assert.deepEqual((await Promise.all(runs)).map(({ code }) => code), [...slow.map((_, i) => i + 1), 9]);
  for (const [name, lines] of [...slow.map((name) => [name, 60] as const), [fast, 200_000] as const]) {
    const log = (await bed.ok(["logs", name])).split("\n");
    assert.equal(log.length, lines, name);
    assert.ok(log.every((line, i) => line === String(i + 1)), `${name}: no line lost, none twice`);
  }
});

test("a host that loses power: its containers end with it, and those that restart do so when it is back", async (t) => {
  t.after(async () => {
    await bed.docker(["rm", "-f", "mortal", "again"]);
    await bed.docker(["volume", "rm", "-f", "power"]);
    await bed.ready();
  });
  await bed.ok(["volume", "create", "power"]);
  await bed.ok(["run", "-d", "--name", "mortal", "-v", "power:/power", "busybox", "sleep", "1000"]);
  await bed.ok(["run", "-d", "--name", "again", "--restart", "always", "-v", "power:/power", "busybox", "sleep", "1000"]);
  const host = await bed.hostOf("mortal");
  await bed.powerOff(host);
  await bed.powerOn(host);
  await eventually("the end of the container to be known", async () => (await bed.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "mortal"])) === "exited 255");
  await eventually("the other one to run again", async () => (await bed.docker(["exec", "again", "true"])).code === 0);
});

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { isGantryError } from "@gantry/kernel";
import type { RunningContainer } from "./port.ts";
import { demultiplex, Rig, seen } from "./test/rig.ts";

let rig: Rig;
let container: RunningContainer;
before(async () => {
  rig = await Rig.make();
  ({ container } = await rig.sleeper());
});
after(async () => { await rig[Symbol.asyncDispose](); });

test("exit code and output", async () => {
  const exec = await container.exec(rig.execSpec(["sh", "-c", "echo out; echo err >&2; exit 5"]));
  assert.deepEqual(await demultiplex(exec.stream), { stdout: "out\n", stderr: "err\n" });
  assert.equal((await exec.exited).exitCode, 5);
});

test("it is inside: namespaces, cgroup, capabilities, filter, user", async () => {
  const exec = await container.exec(rig.execSpec(["sh", "-c", "hostname; id -un; grep -E '^(CapEff|Seccomp:)' /proc/self/status; pwd; ls /proc/self/fd; sleep 1000"], { user: "alice", cwd: "/tmp" }));
  const text = await seen(exec.stream, "3\n");
  assert.match(text, /box\n/);
  assert.match(text, /alice\n/);
  assert.match(text, /CapEff:\t0000000000000000\nSeccomp:\t2/);
  assert.match(text, /\/tmp\n/);
  assert.ok((await container.pids()).includes(exec.pid));
  assert.equal(await readFile(`/proc/${exec.pid}/cgroup`, "utf8"), await readFile(`/proc/${container.pid}/cgroup`, "utf8"));
  await exec.kill(15);
  assert.equal((await exec.exited).exitCode, 143);
});

test("stdin and its end", async () => {
  const exec = await container.exec(rig.execSpec(["wc", "-c"], { stdin: true }));
  exec.stream.end("y".repeat(200_000));
  assert.equal((await demultiplex(exec.stream)).stdout, "200000\n");
});

test("a terminal of its own", async () => {
  const exec = await container.exec(rig.execSpec(["sh", "-c", "stty size; echo ready; read x; stty size; echo $x"], { terminal: true, stdin: true, consoleHeight: 10, consoleWidth: 20 }));
  assert.equal(await seen(exec.stream, "ready\r\n"), "10 20\r\nready\r\n");
  await exec.resize({ height: 11, width: 21 });
  const rest = seen(exec.stream, "11 21\r\nhi\r\n");
  exec.stream.write("hi\n");
  await rest;
  assert.equal((await exec.exited).exitCode, 0);
});

test("what cannot be executed, in Docker's words", async () => {
  const fails = (args: string[], exitCode: number, message: RegExp) => assert.rejects(container.exec(rig.execSpec(args)), (e) => {
    assert.ok(isGantryError(e, "START_FAILED"));
    assert.match(e.message, message);
    assert.equal(e.details.exitCode, exitCode);
    return true;
  });
  await fails(["nothing"], 127, /^OCI runtime exec failed: exec failed: unable to start container process: exec: "nothing": executable file not found in \$PATH: unknown$/);
  await fails(["/etc/plain"], 126, /exec: "\/etc\/plain": permission denied: unknown$/);
});

test("output that a child keeps open ends soon after the process", async () => {
  const exec = await container.exec(rig.execSpec(["sh", "-c", "sleep 1000 & echo started"]));
  assert.equal((await exec.exited).exitCode, 0);
  assert.equal((await demultiplex(exec.stream)).stdout, "started\n");
});

test("many at once", async () => {
  const codes = await Promise.all(Array.from({ length: 10 }, async (_, i) => {
    const exec = await container.exec(rig.execSpec(["sh", "-c", `exit ${i}`]));
    exec.stream.resume();
    return (await exec.exited).exitCode;
  }));
  assert.deepEqual(codes, Array.from({ length: 10 }, (_, i) => i));
});

test("an exec ends with its container", async () => {
  const other = (await rig.sleeper()).container;
  const exec = await other.exec(rig.execSpec(["sleep", "1000"]));
  exec.stream.resume();
  await other.kill(9);
  assert.equal((await exec.exited).exitCode, 137);
  await assert.rejects(other.exec(rig.execSpec(["true"])), (e) => isGantryError(e, "NOT_RUNNING"));
});

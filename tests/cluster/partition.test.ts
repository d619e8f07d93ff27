/** Hosts that are cut off, agents without a broker, agents that are killed over a command: what runs goes on, and all agree afterwards. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "../support/command.ts";
import { followLive } from "./support/live.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

const CUT_MS = 20_000;
/** Much less than what waits for a cut host would take, also where others have the processor. */
const QUICK_MS = 15_000;

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

const on = (host: string) => ["-e", `constraint:node==${host}`];
const inspect = (name: string, format: string) => bed.ok(["inspect", "--type", "container", "-f", format, name]);
const status = (name: string) => bed.ok(["ps", "-a", "--filter", `name=^${name}$`, "--format", "{{.State}}|{{.Status}}"]);
const dirOf = (host: string, id: string) => join(bed.hosts[host]!.dir, "state", "containers", id);
/** Answered from what is known: not by waiting for the node that is cut off. */
async function quick(what: string, work: () => Promise<void>): Promise<void> {
  const before = performance.now();
  await work();
  assert.ok(performance.now() - before < QUICK_MS, `${what}: ${performance.now() - before} ms`);
}
const COUNT = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done";

test("a host cut off for 20 s and healed: its containers ran on, ps said so meanwhile, and all agree afterwards", async (t) => {
  const host = "agent-2";
  const all = ["counts", "leaves", "temporary", "returns", "goes", "halts", "near", "elsewhere"];
  t.after(async () => {
    await bed.heal(host);
    await bed.ready();
    await bed.docker(["rm", "-f", ...all]);
  });
  await bed.ok(["run", "-d", "--name", "counts", ...on(host), "busybox", "sh", "-c", COUNT]);
  const untilTold = ["busybox", "sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done"];
  await bed.ok(["run", "-d", "--name", "leaves", ...on(host), ...untilTold]);
  await bed.ok(["run", "-d", "--rm", "--name", "temporary", ...on(host), ...untilTold]);
  await bed.ok(["run", "-d", "--name", "returns", "--restart", "always", ...on(host), "busybox", "sh", "-c", "echo begun; sleep 4"]);
  for (const name of ["goes", "halts"]) await bed.ok(["run", "-d", "--name", name, ...on(host), "busybox", "sleep", "1000"]);
  await bed.ok(["run", "-d", "--name", "near", ...on("agent-1"), "busybox", "sleep", "1000"]);
  const [pid, halts, leaves, brief] = await Promise.all(["counts", "halts", "leaves", "temporary"].map((name) => inspect(name, "{{.State.Pid}}"))) as [string, string, string, string];
  const [goes, temporary] = await Promise.all([inspect("goes", "{{.Id}}"), inspect("temporary", "{{.Id}}")]);
  // Leaves the API with a connection to the agent.
  await bed.ok(["logs", "--tail", "1", "counts"]);
  await using live = followLive(bed);
  await eventually("the live view", async () => live.states()[host] === "ready");

  const cutAt = performance.now();
  await bed.cut(host);
  // Asked before anyone can know: answered as soon as somebody does.
  const halted = bed.docker(["stop", "-t", "1", "halts"]);
  const asked = [["logs", "counts"], ["exec", "counts", "true"], ["top", "counts"], ["cp", "counts:/etc/passwd", "-"]].map((args) => bed.docker(args));
  // Others are as near as before.
  assert.equal(await bed.ok(["exec", "near", "echo", "near"]), "near");
  assert.equal((await bed.ok(["ps", "-aq", "--filter", "name=near", "--filter", "name=counts"])).split("\n").length, 2);
  const early = await halted;
  assert.notEqual(early.code, 0);
  assert.match(early.stderr, /node agent-2 is unreachable since .*; what was asked of it may be done then/);
  for (const { code, stderr } of await Promise.all(asked)) {
    assert.notEqual(code, 0);
    assert.match(stderr, /node agent-2 is unreachable since/);
  }
  assert.ok(performance.now() - cutAt < QUICK_MS, `an answer as soon as the node counts as unreachable: ${performance.now() - cutAt} ms`);
  await eventually("the node to be unreachable", async () => (await status("counts")).includes("unreachable"), CUT_MS);
  t.diagnostic(`unreachable after ${Math.round(performance.now() - cutAt)} ms`);
  assert.match(await status("counts"), /^running\|Up .* \(unreachable: node agent-2\)$/);
  assert.equal(await inspect("counts", "{{.State.Status}} {{.Node.ID}} {{.Node.State}}"), "running agent-2 unreachable");
  assert.match(await bed.gantry(["node", "ls"]), /^agent-2 .* unreachable /m);
  await eventually("the live view to tell", async () => live.states()[host] === "unreachable");
  assert.deepEqual([live.states()["agent-1"], live.states()["agent-3"]], ["ready", "ready"]);
  const info = await bed.docker(["info"]);
  assert.equal(info.code, 0, info.stderr);
  assert.match(info.stdout, /^ {2}Nodes: 3 \(2 ready, 1 unreachable\)\n {3}agent-1: ready, .*\n {3}agent-2: unreachable since 20/m);
  assert.match(info.stderr, /WARNING: node agent-2 is unreachable since 20/);
  await quick("what is near or elsewhere", async () => {
    assert.equal(await bed.ok(["exec", "near", "echo", "near"]), "near");
    assert.match(await bed.ok(["ps", "-a", "--size", "--format", "{{.Names}} {{.Status}}"]), /^counts Up .* \(unreachable: node agent-2\)$/m);
  });

  for (const args of [["logs", "counts"], ["exec", "counts", "true"], ["stop", "counts"], ["rm", "leaves"], ["start", "leaves"]]) {
    await quick(args.join(" "), async () => {
      const { code, stderr } = await bed.docker(args);
      assert.notEqual(code, 0, args.join(" "));
      assert.match(stderr, /node agent-2 is unreachable since 20\d\d-\S+Z \(.*\): its containers run on/, args.join(" "));
    });
  }
  const refused = await bed.docker(["create", ...on(host), "busybox", "true"]);
  assert.match(refused.stderr, /node agent-2: is unreachable since/);
  await bed.ok(["run", "-d", "--name", "elsewhere", "busybox", "sleep", "1000"]);
  assert.notEqual(await bed.hostOf("elsewhere"), host);
  assert.equal(await bed.ok(["rm", "-f", "goes"]), "goes");
  assert.equal(await status("goes"), "");
  assert.ok(existsSync(dirOf(host, goes)), "its host does not know yet");
  assert.equal((await bed.exec(host, "kill", ["-0", pid])).code, 0);
  // Two end while nobody hears of it.
  assert.equal((await bed.exec(host, "kill", [leaves, brief])).code, 0);
  await eventually("both to end", async () => (await Promise.all([leaves, brief].map(async (one) => (await bed.exec(host, "kill", ["-0", one])).code))).every((code) => code !== 0));
  assert.match(await status("leaves"), /^running\|/, "as it was when it was heard last");

  await new Promise((resolve) => { setTimeout(resolve, Math.max(0, CUT_MS - (performance.now() - cutAt))); });
  const healedAt = performance.now();
  await bed.heal(host);
  await eventually("the node to be back", async () => !(await status("counts")).includes("unreachable"));
  t.diagnostic(`back after ${Math.round(performance.now() - healedAt)} ms`);
  await eventually("the end that was not seen", async () => (await inspect("leaves", "{{.State.Status}} {{.State.ExitCode}}")) === "exited 9");
  await eventually("the one of --rm to be gone", async () => (await status("temporary")) === "" && !existsSync(dirOf(host, temporary)));
  await eventually("the one that was removed to be gone from its host", async () => !existsSync(dirOf(host, goes)));
  await eventually("the live view to tell", async () => live.states()[host] === "ready");
  // Its message was waiting for the node, or was lost with the connection: the record is what it is on the host.
  await eventually("the record of the one to be stopped to be true", async () => (await inspect("halts", "{{.State.Running}}") === "true") === ((await bed.exec(host, "kill", ["-0", halts])).code === 0));
  assert.equal(await inspect("counts", "{{.State.Status}} {{.State.Pid}}"), `running ${pid}`);
  const counted = (await bed.ok(["logs", "counts"])).split("\n").map(Number);
  assert.deepEqual(counted, counted.map((_, i) => i + 1));
  assert.ok(counted.length > 150, `${counted.length} lines of 20 s`);
  const restarts = Number(await inspect("returns", "{{.RestartCount}}"));
  assert.ok(restarts >= 3, `restarted ${restarts} times, also while it was cut off`);
  assert.equal(await bed.ok(["exec", "counts", "echo", "reached"]), "reached");
});

test("an agent that starts while the broker is away looks after its containers, and tells later", async (t) => {
  const host = "agent-1";
  t.after(async () => {
    for (const { name, pid } of bed.processes()) if (pid === null) await bed.start(name);
    await bed.ready();
    await bed.docker(["rm", "-f", "lasts", "again", "brief"]);
  });
  await bed.ok(["run", "-d", "--name", "lasts", ...on(host), "busybox", "sh", "-c", COUNT]);
  await bed.ok(["run", "-d", "--name", "again", "--restart", "always", ...on(host), "busybox", "sh", "-c", "echo begun; sleep 2"]);
  await bed.ok(["run", "-d", "--name", "brief", ...on(host), "busybox", "sh", "-c", "sleep 3; exit 4"]);
  const [pid, again] = await Promise.all([inspect("lasts", "{{.State.Pid}}"), inspect("again", "{{.Id}}")]);
  const begun = async () => Number((await bed.exec(host, "sh", ["-c", `grep -ao begun ${join(dirOf(host, again), "log")} | wc -l`])).stdout);

  await bed.kill("rabbit");
  await bed.kill(host);
  await bed.start(host);
  const before = await begun();
  await eventually("restarts without a broker", async () => await begun() >= before + 2, 30_000);
  assert.equal((await bed.exec(host, "kill", ["-0", pid])).code, 0);
  await bed.start("rabbit");
  await eventually("what ended meanwhile to be told", async () => (await bed.docker(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "brief"])).stdout.trim() === "exited 4");
  await eventually("the node to take commands", async () => (await bed.docker(["exec", "lasts", "true"])).code === 0);
  assert.equal(await inspect("lasts", "{{.State.Status}} {{.State.Pid}}"), `running ${pid}`);
  assert.ok(Number(await inspect("again", "{{.RestartCount}}")) >= 2);
});

test("SIGKILL of an agent amid ten creations and starts: each is carried out once", async (t) => {
  const host = "agent-3";
  const all = Array.from({ length: 10 }, (_, i) => `once${i + 1}`);
  t.after(async () => {
    await bed.ready();
    await bed.docker(["rm", "-f", ...all]);
  });
  const subnet = () => bed.ok(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
  const before = await subnet();
  const runs = Promise.all(all.map((name) => bed.docker(["run", "-d", "--name", name, ...on(host), "busybox", "echo", `ran ${name}`])));
  await eventually("some to be there", async () => (await bed.ok(["ps", "-aq", "--filter", "name=^once"])).split("\n").filter(Boolean).length >= 2);
  await bed.kill(host);
  await bed.start(host);
  const results = await runs;
  // An agent that takes longer to be back than its node's lease lasts is waited for that long, and the client is told.
  for (const { code, stderr } of results) assert.ok(code === 0 || /node agent-3 is unreachable since/.test(stderr), stderr);
  await bed.ready();
  const records = async () => (await bed.ok(["ps", "-a", "--filter", "name=^once", "--format", "{{.Names}} {{.State}}"])).split("\n").filter(Boolean);
  await eventually("all to end", async () => (await records()).every((row) => !row.endsWith("running")));
  const known = (await records()).map((row) => row.split(" ")[0]!);
  for (const [i, name] of all.entries()) {
    const accepted = results[i]!.code === 0;
    if (accepted) await eventually(`${name} to end`, async () => (await inspect(name, "{{.State.Status}} {{.State.ExitCode}}")) === "exited 0");
    if (known.includes(name)) assert.match(await bed.ok(["logs", name]), accepted ? new RegExp(`^ran ${name}$`) : new RegExp(`^(ran ${name})?$`), "once");
  }
  await eventually("nothing half made to be left", async () => {
    const kept = (await bed.exec(host, "ls", [join(bed.hosts[host]!.dir, "state", "containers")])).stdout.split("\n").filter((name) => /^[0-9a-f]{64}$/.test(name));
    return kept.length === (await records()).length;
  });
  assert.equal(await subnet(), before, "the host's own bridges are no other's");
});

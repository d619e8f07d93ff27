/** Placement over hosts, and schedulers that are killed and stopped under those who run containers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test, type TestContext } from "node:test";
import { eventually } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

const RUNS = 20;
const TAKEN_OVER_MS = 5_000;

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
const remove = (all: readonly string[]) => bed.docker(["rm", "-f", ...all]);

async function spread(containers: readonly string[]): Promise<number[]> {
  const hosts = await Promise.all(containers.map((name) => bed.hostOf(name)));
  return Object.keys(bed.hosts).filter((host) => host.startsWith("agent-")).map((host) => hosts.filter((h) => h === host).length);
}

const schedulers = () => bed.processes().map(({ name }) => name).filter((name) => name.startsWith("scheduler-"));
/** When each became the active one, or stopped being it, as told by its log. */
function terms(name: string): { begun: number; ended: number } {
  const log = readFileSync(bed.log(name), "utf8");
  return { begun: log.split("this scheduler is the active one\"").length - 1, ended: log.split("not the active one any more").length - 1 };
}
/** The newest epoch that anyone tells of is that of the active one. */
function active(): string {
  const epochs = schedulers().map((name) => {
    const found = [...readFileSync(bed.log(name), "utf8").matchAll(/"epoch":(\d+)[^\n]*"msg":"this scheduler is the active one"/g)];
    return { name, epoch: Number(found.at(-1)?.[1] ?? 0) };
  });
  return epochs.sort((a, b) => b.epoch - a.epoch)[0]!.name;
}

test("12 containers made at once over three empty hosts are four on each; each can say why", async (t) => {
  const all = names("s", 12);
  t.after(() => remove(all));
  await Promise.all(all.map((name) => bed.ok(["create", "--name", name, "busybox", "true"])));
  assert.deepEqual(await spread(all), [4, 4, 4]);
  const why = await bed.gantry(["why", "s1"]);
  assert.match(why, /^s1 is on node agent-\d, as decided at 2/);
  for (const node of ["agent-1", "agent-2", "agent-3"]) assert.match(why, new RegExp(`^${node} +-?[0-9.]+ +spread`, "m"));
});

test("constraints, labels and drained nodes; where nothing fits, every node says why", async (t) => {
  const all = names("k", 5);
  t.after(async () => {
    await bed.gantry(["node", "activate", "agent-1"]);
    await remove(all);
  });
  await bed.ok(["create", "--name", "k1", "-e", "constraint:node==agent-3", "busybox", "true"]);
  await bed.ok(["create", "--name", "k2", "--label", "gantry.node=agent-2", "busybox", "true"]);
  assert.deepEqual([await bed.hostOf("k1"), await bed.hostOf("k2")], ["agent-3", "agent-2"]);
  assert.equal((await bed.ok(["inspect", "-f", "{{json .Config.Env}}", "k1"])).includes("constraint"), false);
  await bed.ok(["run", "-d", "--name", "k5", "-e", "constraint:node==agent-1", "busybox", "sleep", "1000"]);
  await bed.gantry(["node", "drain", "agent-1"]);
  assert.match(await bed.gantry(["node", "ls"]), /^agent-1 .* drain /m);
  await bed.ok(["create", "--name", "k3", "-e", "constraint:node!=agent-2", "busybox", "true"]);
  assert.equal(await bed.hostOf("k3"), "agent-3");
  assert.match(await bed.gantry(["why", "k3"]), /^agent-1 +- +is being drained$/m);
  assert.match(await bed.ok(["info"]), /^ {2}Nodes: 3 \(2 ready, 1 drained\)\n {3}agent-1: drained, .* 1 of 1 containers running/m);
  // What is there stays there, and may be started again.
  await bed.ok(["restart", "-t", "0", "k5"]);
  assert.equal(await bed.ok(["exec", "k5", "echo", "stays"]), "stays");
  const none = await bed.docker(["create", "--name", "k4", "-e", "constraint:node==agent-1", "busybox", "true"]);
  assert.notEqual(none.code, 0);
  assert.match(none.stderr, /no suitable node \(node agent-1: is being drained; node agent-2: does not satisfy node==agent-1; node agent-3: does not satisfy node==agent-1\)/);
});

test("containers of a user network are on one host, and find each other", async (t) => {
  t.after(async () => {
    await remove(["web", "asks", "apart"]);
    await bed.docker(["network", "rm", "front"]);
  });
  await bed.ok(["network", "create", "front"]);
  await bed.ok(["run", "-d", "--name", "web", "--network", "front", "busybox", "sh", "-c", "echo served > /tmp/index.html; exec httpd -f -h /tmp"]);
  const ask = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://web/ && break; sleep 0.2; done"];
  assert.equal(await bed.ok(["run", "--name", "asks", "--network", "front", "busybox", ...ask]), "served");
  const host = await bed.hostOf("web");
  assert.equal(await bed.hostOf("asks"), host);
  assert.match(await bed.gantry(["why", "asks"]), new RegExp(`network front is on node ${host}, with container web`));
  const other = ["agent-1", "agent-2", "agent-3"].find((name) => name !== host)!;
  await bed.ok(["run", "-d", "--name", "apart", "-e", `constraint:node==${other}`, "busybox", "sleep", "1000"]);
  const refused = await bed.docker(["network", "connect", "front", "apart"]);
  assert.match(refused.stderr, new RegExp(`container apart is on node ${other}, network front on node ${host}`));
});

/** Twenty `docker run`s at once, in whose midst something happens to the active scheduler. */
async function runsWhile(t: TestContext, prefix: string, happens: (name: string) => Promise<void>): Promise<string> {
  const all = names(prefix, RUNS);
  t.after(() => remove(all));
  const first = active();
  const next = schedulers().find((name) => name !== first)!;
  const before = terms(next).begun;
  const runs = Promise.all(all.map((name) => bed.docker(["run", "--name", name, "busybox", "sh", "-c", `echo ran ${name}; exit 3`])));
  await eventually("some to be created", async () => Number(await bed.ok(["ps", "-aq", "--filter", `name=^${prefix}`]).then((ids) => ids.split("\n").filter(Boolean).length)) >= 3);
  const at = performance.now();
  await happens(first);
  await eventually("the other one to act", async () => terms(next).begun === before + 1);
  const tookMs = performance.now() - at;
  t.diagnostic(`taken over after ${Math.round(tookMs)} ms`);
  assert.ok(tookMs < TAKEN_OVER_MS, `${tookMs} ms`);
  const results = await runs;
  assert.deepEqual(results.map(({ code, stdout }) => `${code} ${stdout}`), all.map((name) => `3 ran ${name}\n`), results.map(({ stderr }) => stderr).join(""));
  assert.equal((await bed.ok(["ps", "-aq", "--filter", `name=^${prefix}`])).split("\n").length, RUNS);
  for (const name of all) assert.equal(await bed.ok(["logs", name]), `ran ${name}`, "it ran once");
  return first;
}

test(`SIGKILL of the active scheduler during ${RUNS} docker runs: another acts within five seconds, all end well, none twice, none lost`, async (t) => {
  t.after(() => bed.ready());
  const first = await runsWhile(t, "killed", (name) => bed.kill(name));
  await bed.start(first);
  await eventually("it to stand by", async () => readFileSync(bed.log(first), "utf8").includes("this one waits"));
});

test(`the active scheduler is stopped during ${RUNS} docker runs, and goes on when another acts: the same`, async (t) => {
  t.after(() => bed.ready());
  let stopped = "";
  t.after(() => bed.kill(stopped, "SIGCONT").catch(() => undefined));
  const first = await runsWhile(t, "paused", async (name) => {
    stopped = name;
    await bed.kill(name, "SIGSTOP");
  });
  const before = terms(first).ended;
  await bed.kill(first, "SIGCONT");
  await eventually("it to step down", async () => terms(first).ended === before + 1);
  assert.equal(await bed.ok(["run", "--rm", "busybox", "echo", "well"]), "well");
});

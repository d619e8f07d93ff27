/** RabbitMQ, PostgreSQL and Redis that end and come again under `docker run`: nothing acknowledged is lost, nothing runs twice. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { eventually, type Result } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

/** Tells that it started, and then counts until it is stopped. */
const COUNT = "echo started; i=0; while true; do i=$((i+1)); echo $i; sleep 0.2; done";
const BROKERS = ["rabbit", "postgres", "redis"] as const;
const LABEL = "restarts";

afterEach(async () => {
  await bed.ready();
  const ids = (await bed.ok(["ps", "-aq", "--filter", `label=${LABEL}`])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await bed.ok(["rm", "-f", ...ids]);
});

interface Run { readonly name: string; readonly result: Result; readonly ms: number }

async function dockerRun(name: string, args: readonly string[], command: string): Promise<Run> {
  const started = performance.now();
  const result = await bed.docker(["run", "--name", name, "--label", LABEL, ...args, "busybox", "sh", "-c", command], { timeoutMs: 90_000 });
  return { name, result, ms: performance.now() - started };
}

/** Runs commands one after another in each of several rows, until `done` says so; a command that is under way goes on to its end. */
async function rows(prefix: string, count: number, done: () => boolean, work: (name: string) => Promise<Run>): Promise<Run[]> {
  const runs: Run[] = [];
  await Promise.all(Array.from({ length: count }, async (_, row) => {
    for (let n = 0; !done(); n++) runs.push(await work(`${prefix}-${row}-${n}`));
  }));
  return runs;
}

/** Ends each of the brokers in turn, and starts it again; in between, more and more commands succeed. */
async function disturb(end: (name: string) => Promise<void>, succeeded: () => number): Promise<void> {
  const more = (what: string) => { const before = succeeded(); return eventually(what, async () => succeeded() >= before + 2, 60_000); };
  await more("commands to succeed");
  for (const name of BROKERS) {
    await end(name);
    // PostgreSQL refuses to start while processes of its earlier life are there.
    await eventually(`${name} to start`, () => bed.start(name).then(() => true, (error: unknown) => { if (name !== "postgres") throw error; return false; }));
    await more(`commands to succeed after the end of ${name}`);
  }
}

/** What a command may end with: well, or with an error that says it may be done again. */
const RETRYABLE = /try again|broker|database|is away|nobody serves|did not answer|503|UNAVAILABLE|Service Unavailable/i;

const ENDS: Readonly<Record<string, (name: string) => Promise<void>>> = { Stop: (name) => bed.stop(name), SIGKILL: (name) => bed.kill(name) };

for (const [how, end] of Object.entries(ENDS)) {
  test(`${how} of RabbitMQ, PostgreSQL and Redis while containers are run, one after another and side by side`, { timeout: 240_000 }, async (t) => {
    const prefix = `restarts-${how.toLowerCase()}`;
    const steady = await dockerRun(`${prefix}-steady`, ["-d"], COUNT);
    assert.equal(steady.result.code, 0, steady.result.stderr);
    const pid = await bed.ok(["inspect", "-f", "{{.State.Pid}}", steady.name]);
    const follower = bed.docker(["logs", "-f", steady.name], { timeoutMs: 200_000 });

    let over = false;
    let succeeded = 0;
    const counted = async (run: Promise<Run>) => {
      const { result } = await run;
      if (result.code === 0 || result.code === 3) succeeded++;
      return await run;
    };
    const disturbing = disturb(end, () => succeeded).finally(() => { over = true; });
    const [kept, passing] = await Promise.all([
      rows(`${prefix}-d`, 2, () => over, (name) => counted(dockerRun(name, ["-d"], COUNT))),
      rows(`${prefix}-rm`, 1, () => over, (name) => counted(dockerRun(name, ["--rm"], "echo ran; exit 3"))),
      disturbing,
    ]);
    await bed.ready();

    for (const { name, result, ms } of [...kept, ...passing]) {
      assert.ok(ms < 85_000, `${name} took ${Math.round(ms)} ms`);
      const well = name.includes("-rm-") ? result.code === 3 && result.stdout === "ran\n" : result.code === 0 && /^[0-9a-f]{64}\n$/.test(result.stdout);
      assert.ok(well || (result.code === 125 && RETRYABLE.test(result.stderr)), `${name} ended with ${result.code}: ${result.stdout}${result.stderr}`);
    }
    const refused = [...kept, ...passing].filter(({ result }) => result.code === 125);
    t.diagnostic(`${kept.length + passing.length} commands, ${refused.length} refused, the longest took ${Math.round(Math.max(...[...kept, ...passing].map(({ ms }) => ms)))} ms`);
    for (const { name, result } of refused) t.diagnostic(`${name}: ${result.stderr.trim()}`);

    // What was acknowledged is there once, runs once, on one host.
    for (const { name, result } of kept.filter((run) => run.result.code === 0)) await runsOnce(name, result.stdout.trim());
    // The one that ran before: never interrupted.
    assert.equal(await bed.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", steady.name]), `running ${pid}`);
    await runsOnce(steady.name, steady.result.stdout.trim());
    await bed.ok(["stop", "-t", "0", steady.name]);
    await follower;

    // What was refused may have been made, but is whole then, or can be removed; nothing of `--rm` containers stays.
    const listed = (await bed.ok(["ps", "-a", "--filter", `label=${LABEL}`, "--format", "{{.Names}} {{.State}}"])).split("\n");
    for (const { name, result } of kept.filter((run) => run.result.code !== 0)) {
      const state = listed.find((line) => line.startsWith(`${name} `))?.split(" ")[1];
      assert.ok(state === undefined || state === "created" || state === "running", `${name}, refused with ${result.stderr}, is ${state}`);
    }
    await eventually("containers with --rm to be gone", async () => !(await bed.ok(["ps", "-a", "--filter", `label=${LABEL}`, "--format", "{{.Names}} {{.State}}"])).split("\n")
      .some((line) => line.startsWith(`${prefix}-rm-`) && !line.endsWith(" created")), 30_000);
    const ids = (await bed.ok(["ps", "-aq", "--filter", `label=${LABEL}`])).split("\n").filter((id) => id !== "");
    await bed.ok(["rm", "-f", ...ids]);
    await nothingLeft();
  });
}

/** Its log begins with one start and counts without a gap; one host has it, and one process runs it. */
async function runsOnce(name: string, id: string): Promise<void> {
  assert.equal(await bed.ok(["inspect", "-f", "{{.Id}} {{.State.Status}} {{.RestartCount}}", name]), `${id} running 0`);
  const lines = (await bed.ok(["logs", name])).split("\n");
  assert.equal(lines.filter((line) => line === "started").length, 1, name);
  assert.deepEqual(lines, ["started", ...lines.slice(1).map((_, i) => String(i + 1))], name);
  const holders: string[] = [];
  for (const host of Object.keys(bed.hosts).filter((it) => it.startsWith("agent-"))) {
    if ((await bed.exec(host, "test", ["-e", `${bed.hosts[host]!.dir}/state/containers/${id}`])).code === 0) holders.push(host);
  }
  assert.equal(holders.length, 1, `${name} is on ${holders.join(" and ")}`);
}

/** No host has a container, a snapshot or a process of one. */
async function nothingLeft(): Promise<void> {
  for (const host of Object.keys(bed.hosts).filter((it) => it.startsWith("agent-"))) {
    await eventually(`nothing to be left on ${host}`, async () => {
      const { stdout } = await bed.exec(host, "sh", ["-c", `cd ${bed.hosts[host]!.dir}/state && ls containers snapshots/s 2>/dev/null | grep -vx -e '.*:' -e epoch -e ''`]);
      return stdout.trim() === "";
    }, 30_000);
  }
}

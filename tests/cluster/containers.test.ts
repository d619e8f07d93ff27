/** Containers over several hosts, driven by the stock docker command as if they were on one. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
let scratch: string;
before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "gantry-cluster-"));
  bed = await sharedTestbed();
});
after(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await bed[Symbol.asyncDispose]();
});

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);

/** How many of them each host has. */
async function spread(containers: readonly string[]): Promise<Record<string, number>> {
  const hosts = await Promise.all(containers.map((name) => bed.hostOf(name)));
  return Object.fromEntries(Object.keys(bed.hosts).filter((host) => host.startsWith("agent-")).map((host) => [host, hosts.filter((h) => h === host).length]));
}

test("12 containers over three hosts: each is reached by every docker command", async (t) => {
  const all = names("c", 12);
  t.after(() => bed.docker(["rm", "-f", ...all]));
  for (const name of all) {
    await bed.ok(["create", "-i", "--name", name, "busybox", "sh", "-c", `echo ${name} > /name; echo out of ${name}; cat; echo end of ${name}`]);
    await bed.ok(["start", name]);
  }
  assert.deepEqual(await spread(all), { "agent-1": 4, "agent-2": 4, "agent-3": 4 });

  const shown = await bed.ok(["ps", "--filter", "name=^c[0-9]+$", "--format", "{{.Names}} {{.State}}"]);
  assert.deepEqual(shown.split("\n").toSorted(), all.map((name) => `${name} running`).toSorted());
  for (const group of [all.slice(0, 6), all.slice(6)]) {
    await Promise.all(group.map(async (name) => {
      assert.equal(await bed.ok(["logs", name]), `out of ${name}`);
      assert.equal(await bed.ok(["exec", name, "cat", "/name"]), name);
      assert.equal(await bed.ok(["inspect", "-f", "{{.State.Status}} {{.Name}}", name]), `running /${name}`);
      assert.match(await bed.ok(["top", name, "-o", "pid,args"]), / cat$/m);
      assert.equal(await bed.ok(["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", name]), `${name} 2`);
      const file = join(scratch, name);
      await bed.ok(["cp", `${name}:/name`, file]);
      assert.equal(readFileSync(file, "utf8"), `${name}\n`);
      writeFileSync(file, `into ${name}`);
      await bed.ok(["cp", file, `${name}:/in`]);
      assert.equal(await bed.ok(["exec", "-i", name, "sh", "-c", "cat /in -"], { input: " and more" }), `into ${name} and more`);
      // The input's end is the end of `cat`, and with it of the container.
      assert.equal(await bed.ok(["attach", name], { input: `typed into ${name}\n` }), `typed into ${name}\nend of ${name}`);
      assert.equal(await bed.ok(["wait", name]), "0");
      assert.equal(await bed.ok(["logs", name]), `out of ${name}\ntyped into ${name}\nend of ${name}`);
    }));
  }
});

test("exit codes, restarts, renames and removals reach the host", async (t) => {
  const all = names("e", 3);
  t.after(() => bed.docker(["rm", "-f", ...all, "renamed"]));
  await Promise.all(all.map((name, i) => bed.ok(["run", "-d", "--name", name, "busybox", "sh", "-c", `trap 'exit ${i + 20}' TERM; sleep 1000 & wait`])));
  await Promise.all(all.map(async (name, i) => {
    await bed.ok(["restart", "-t", "5", name]);
    await bed.ok(["pause", name]);
    assert.equal(await bed.ok(["inspect", "-f", "{{.State.Status}}", name]), "paused");
    await bed.ok(["unpause", name]);
    await bed.ok(["stop", "-t", "5", name]);
    assert.equal(await bed.ok(["inspect", "-f", "{{.State.ExitCode}}", name]), String(i + 20));
  }));
  await bed.ok(["rename", "e1", "renamed"]);
  const host = await bed.hostOf("renamed");
  const id = await bed.ok(["inspect", "-f", "{{.Id}}", "renamed"]);
  await bed.ok(["rm", "renamed"]);
  const there = await bed.exec(host, "ls", [join(bed.hosts[host]!.dir, "state", "containers")]);
  assert.equal(there.stdout.includes(id), false);
});

test("an image built on one host runs on each of the others", async (t) => {
  const context = join(scratch, "context");
  rmSync(context, { recursive: true, force: true });
  await bed.exec("control", "mkdir", ["-p", context]);
  writeFileSync(join(context, "Dockerfile"), "FROM busybox\nCOPY greeting /greeting\nRUN tr a-z A-Z < /greeting > /loud\nCMD [\"cat\", \"/loud\"]\n");
  writeFileSync(join(context, "greeting"), `hello from ${bed.layout.tag}\n`);
  const all = names("b", 3);
  t.after(async () => {
    await bed.docker(["rm", "-f", ...all]);
    await bed.docker(["rmi", "greeter"]);
  });
  const output = await bed.ok(["build", "-t", "greeter", context]);
  assert.match(output, /^Successfully tagged greeter:latest$/m);
  for (const name of all) {
    await bed.ok(["run", "-d", "--name", name, "greeter", "sh", "-c", "cat /loud; sleep 1000"]);
  }
  assert.deepEqual(await spread(all), { "agent-1": 1, "agent-2": 1, "agent-3": 1 });
  for (const name of all) await eventually(`${name}'s log`, async () => (await bed.ok(["logs", name])) === `HELLO FROM ${bed.layout.tag.toUpperCase()}`);
});

test("a published port answers on the address of the container's host", async (t) => {
  const all = names("p", 3);
  t.after(() => bed.docker(["rm", "-f", ...all]));
  for (const name of all) {
    await bed.ok(["run", "-d", "--name", name, "-p", "8080:80", "busybox", "sh", "-c", `echo page of ${name} > /tmp/index.html; exec httpd -f -h /tmp`]);
  }
  assert.deepEqual(await spread(all), { "agent-1": 1, "agent-2": 1, "agent-3": 1 }, "one port can be taken once on each host");
  for (const name of all) {
    const { address } = bed.hosts[await bed.hostOf(name)]!;
    assert.equal(await eventually(`${name} to answer`, () => fetch(`http://${address}:8080/`).then((r) => r.text(), () => null)), `page of ${name}\n`);
  }
});

test("a volume holds its containers on its host; containers that share a namespace are together", async (t) => {
  const all = names("v", 3);
  t.after(async () => {
    await bed.docker(["rm", "-f", ...all, "sharing"]);
    await bed.docker(["volume", "rm", "-f", "data"]);
  });
  await bed.ok(["volume", "create", "data"]);
  for (const name of all) await bed.ok(["run", "-d", "--name", name, "-v", "data:/data", "busybox", "sh", "-c", `echo ${name} >> /data/names; sleep 1000`]);
  const host = await bed.hostOf("v1");
  assert.equal((await spread(all))[host], 3);
  assert.equal(await bed.ok(["run", "--rm", "-v", "data:/data:ro", "busybox", "cat", "/data/names"]), "v1\nv2\nv3");
  await bed.ok(["run", "-d", "--name", "sharing", "--network", "container:v2", "busybox", "sleep", "1000"]);
  assert.equal(await bed.hostOf("sharing"), host);
});

test("containers of a user network on one host know each other by name", async (t) => {
  t.after(async () => {
    await bed.docker(["rm", "-f", "server", "client"]);
    await bed.docker(["network", "rm", "net"]);
    await bed.docker(["volume", "rm", "-f", "together"]);
  });
  await bed.ok(["network", "create", "net"]);
  // A volume that both use puts both on one host.
  await bed.ok(["volume", "create", "together"]);
  await bed.ok(["run", "-d", "--name", "server", "--network", "net", "-v", "together:/v", "busybox", "sh", "-c", "echo served > /tmp/index.html; exec httpd -f -h /tmp"]);
  assert.equal(await bed.ok(["run", "--rm", "--name", "client", "--network", "net", "-v", "together:/v", "busybox", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://server/ && break; sleep 0.2; done"]), "served");
});

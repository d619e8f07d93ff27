/** The testbed itself: its links, and that it leaves nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually, ROOT } from "../support/command.ts";
import { machineAddress } from "../testbed/layout.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import { Testbed } from "../testbed/testbed.ts";
import { tracesOf } from "../testbed/traces.ts";

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

/** The milliseconds there and back; null when no answer comes. */
async function ping(from: string, to: string): Promise<number | null> {
  const { stdout } = await bed.exec(from, "busybox", ["ping", "-W", "2", "-c", "1", to]);
  const times = /min\/avg\/max = ([\d.]+)/.exec(stdout);
  return times === null ? null : Number(times[1]);
}

/** A program on the host that has a connection open to this process. */
async function connection(host: string): Promise<AsyncDisposable & { readonly socket: Socket; send(data: string | Buffer): void }> {
  const server = createServer().listen(0, machineAddress(bed.layout));
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  const connected = once(server, "connection") as Promise<[Socket]>;
  const nc = spawn(...bed.commandOn(host, "busybox", ["nc", address, String(port)]), { stdio: ["pipe", "ignore", "inherit"] });
  const [socket] = await connected;
  return {
    socket, send: (data) => { nc.stdin.write(data); },
    async [Symbol.asyncDispose]() {
      nc.stdin.end();
      socket.destroy();
      nc.kill("SIGKILL");
      await Promise.all([once(nc, "exit"), new Promise((r) => server.close(r))]);
    },
  };
}

test("a host that is cut off is reached by nobody and reaches nobody, also on connections that were open, until it is healed", async (t) => {
  t.after(() => bed.heal("agent-2"));
  const other = bed.hosts["agent-1"]!.address;
  const mine = bed.hosts["agent-2"]!.address;
  await using open = await connection("agent-2");
  let heard = "";
  open.socket.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
  open.send("before ");
  await eventually("what is sent to arrive", async () => heard === "before ");

  await bed.cut("agent-2");
  open.send("meanwhile ");
  assert.deepEqual(await Promise.all([ping("agent-2", other), ping("agent-1", mine), ping("agent-2", machineAddress(bed.layout))]), [null, null, null]);
  assert.notEqual(await ping("agent-1", bed.hosts["agent-3"]!.address), null);
  assert.equal(heard, "before ");
  assert.deepEqual((await bed.hostStatus()).filter(({ cut }) => cut).map(({ name }) => name), ["agent-2"]);

  await bed.heal("agent-2");
  await eventually("what was sent meanwhile to arrive", async () => heard === "before meanwhile ");
  assert.notEqual(await ping("agent-2", other), null);
});

test("a host that is delayed answers late, and gets through all the same", async (t) => {
  t.after(() => bed.heal("agent-3"));
  const { address } = bed.hosts["agent-3"]!;
  await bed.delay("agent-3", 100);
  assert.ok((await ping("agent-1", address))! >= 200);
  const data = randomBytes(3 << 20);
  await using open = await connection("agent-3");
  const got: Buffer[] = [];
  open.socket.on("data", (chunk: Buffer) => got.push(chunk));
  open.send(data);
  await eventually("all of it", async () => got.reduce((sum, { length }) => sum + length, 0) === data.length);
  assert.ok(Buffer.concat(got).equals(data));

  await bed.cut("agent-3");
  assert.equal(await ping("agent-1", address), null);
  await bed.heal("agent-3");
  assert.ok((await ping("agent-1", address))! < 200);
});

test("two testbeds side by side; one that is taken down, or whose owner is killed, leaves no process, mount, interface or cgroup", async () => {
  const program = `
    const { Testbed } = await import(${JSON.stringify(join(ROOT, "tests/testbed/testbed.ts"))});
    const bed = await Testbed.up({ agents: 1, workers: 1, schedulers: 1 });
    await bed.base("busybox");
    await bed.ok(["run", "-d", "--name", "left", "busybox", "sleep", "1000"]);
    console.log(bed.dir);
    setInterval(() => {}, 1000);
  `;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [dir] = (await once(owner.stdout, "data") as [Buffer]).map(String);
  const other = Testbed.open(dir!.trim());
  assert.notEqual(other.layout.subnet, bed.layout.subnet);
  assert.equal(await other.ok(["ps", "--format", "{{.Names}}"]), "left");
  assert.equal((await bed.ok(["ps", "-a", "--format", "{{.Names}}"])).includes("left"), false);

  owner.kill("SIGKILL");
  await once(owner, "exit");
  await eventually("everything to end with its owner", async () => (await other.hostStatus()).every(({ up }) => !up));
  await other.down();
  assert.deepEqual(await tracesOf(other.layout), []);
  await bed.ready();
});

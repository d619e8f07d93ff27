import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import { FakeClock } from "./fake-clock.ts";
import { hostState, leftovers } from "./leftovers.ts";
import { testNetwork } from "./namespace.ts";
import { tempDir, uniqueName } from "./temp-dir.ts";
import { waitFor } from "./wait-for.ts";

test("waitFor gives the first true value, and says why it gave up", async () => {
  let n = 0;
  assert.equal(await waitFor(() => (++n === 3 ? "three" : "")), "three");
  await assert.rejects(waitFor(() => { throw new Error("not ready"); }, { timeout: 20, what: "the impossible" }),
    (e: Error) => /20 ms for the impossible/.test(e.message) && (e.cause as Error).message === "not ready");
});

test("temporary directories go with their scope", () => {
  let dir: string;
  {
    using scope = new DisposableStack();
    dir = tempDir(scope);
    mkdirSync(path.join(dir, "deep", "er"), { recursive: true });
  }
  assert.equal(existsSync(dir), false);
  assert.notEqual(uniqueName("a"), uniqueName("a"));
});

test("a fake clock wakes sleepers in order, each at its own time", async () => {
  const clock = new FakeClock(1_000);
  const log: string[] = [];
  const late = clock.sleep(200).then(() => log.push(`late ${clock.now()}`));
  const early = clock.sleep(100).then(async () => {
    log.push(`early ${clock.now()}`);
    await clock.sleep(50);
    log.push(`again ${clock.now()}`);
  });
  await clock.advance(99);
  assert.deepEqual(log, []);
  await clock.advance(200);
  await Promise.all([late, early]);
  assert.deepEqual(log, ["early 1100", "again 1150", "late 1200"]);
  const stop = new AbortController();
  const aborted = clock.sleep(10, stop.signal);
  stop.abort(new Error("stopped"));
  await assert.rejects(aborted, /stopped/);
  assert.equal(clock.sleeping, 0);
});

test("hosts in network namespaces reach each other, can be cut off, and leave nothing", { skip: process.getuid?.() !== 0 && "needs root" }, () => {
  const before = hostState(/gyt/);
  {
    using network = testNetwork();
    const one = network.addHost();
    const two = network.addHost();
    const reach = (address: string) => one.run(process.execPath, ["-e", `
      const s = require("node:net").connect({ host: "${address}", port: 9, timeout: 300 });
      s.on("error", (e) => { console.log(e.code); process.exit(); }).on("timeout", () => { console.log("silence"); process.exit(); });
    `]).trim();
    assert.equal(reach(two.address), "ECONNREFUSED");
    assert.equal(reach(network.address), "ECONNREFUSED");
    two.connect(false);
    assert.equal(reach(two.address), "silence");
    const during = leftovers(before, hostState(/gyt/));
    assert.equal(during.filter((line) => line.startsWith("interfaces:")).length, 3);
    assert.equal(during.filter((line) => line.startsWith("mounts:")).length >= 2, true);
  }
  assert.deepEqual(leftovers(before, hostState(/gyt/)), []);
});

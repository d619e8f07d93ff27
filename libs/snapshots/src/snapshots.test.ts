import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { loadNative } from "@gantry/runtime";
import { applyEntries, snapshotterContract } from "./contract-suite.ts";
import { chainIdOf } from "./layout.ts";
import { openSnapshots } from "./snapshots.ts";
import { digestOf, makeTar } from "./test-tar.ts";

const native = loadNative().fs;

async function make() {
  const dir = mkdtempSync(join(tmpdir(), "gantry-snapshots-"));
  const snapshots = await openSnapshots({ dir, native });
  return {
    dir, snapshots,
    async [Symbol.asyncDispose]() {
      await snapshots[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

snapshotterContract("overlay", make);

/** As a crash of the host leaves it: another boot, and only what was synced is sure. */
function pretendReboot(dir: string, kind: "l" | "s"): void {
  const file = kind === "l" ? "layer.json" : "snapshot.json";
  for (const name of readdirSync(join(dir, kind))) {
    const path = join(dir, kind, name, file);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"boot":"[^"]*"/, '"boot":"another"'));
  }
}

describe("overlay snapshots", () => {
  it("leaves no trace of mounts and trash", async () => {
    await using subject = await make();
    const chain = await applyEntries(subject.snapshots, null, [{ name: "a/b/c" }]);
    await subject.snapshots.prepare("key", chain);
    {
      await using one = await subject.snapshots.mount("key");
      await using two = await subject.snapshots.mount("key");
      assert.equal(one.path, two.path);
    }
    await subject.snapshots.remove("key");
    await subject.snapshots.collect(new Set());
    await subject.snapshots.settle();
    for (const sub of ["m", "t", "l", "s"]) assert.deepEqual(readdirSync(join(subject.dir, sub)), []);
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(subject.dir));
  });

  it("unmounts at disposal what is still mounted", async () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-snapshots-"));
    try {
      const snapshots = await openSnapshots({ dir, native });
      await snapshots.prepare("key", null);
      await snapshots.mount("key");
      await snapshots[Symbol.asyncDispose]();
      assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(dir));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("drops layers that a crash of the host may have torn, and those on them; keeps the synced", async () => {
    await using subject = await make();
    const { snapshots, dir } = subject;
    const synced = await applyEntries(snapshots, null, [{ name: "synced" }]);
    const onSynced = await applyEntries(snapshots, synced, [{ name: "also synced" }]);
    await snapshots.settle();
    const unsynced = await applyEntries(snapshots, null, [{ name: "unsynced" }]);
    const onUnsynced = await applyEntries(snapshots, unsynced, [{ name: "on it" }]);
    writeFileSync(join(dir, "l", onUnsynced.slice(7, 23), "d"), "");
    await snapshots.prepare("volatile", synced, { volatile: true });
    await snapshots.prepare("durable", synced);
    pretendReboot(dir, "l");
    pretendReboot(dir, "s");
    await using again = await openSnapshots({ dir, native });
    const there = await Promise.all([synced, onSynced, unsynced, onUnsynced].map(async (chain) => (await again.stat(chain)) !== null));
    assert.deepEqual(there, [true, true, false, false]);
    assert.deepEqual((await again.list()).map(({ key }) => key), ["durable"]);
    assert.equal(await applyEntries(again, null, [{ name: "unsynced" }]), unsynced);
  });

  it("takes a torn record for no layer", async () => {
    await using subject = await make();
    const chain = await applyEntries(subject.snapshots, null, [{ name: "x" }]);
    writeFileSync(join(subject.dir, "l", chain.slice(7, 23), "layer.json"), "");
    await using again = await openSnapshots({ dir: subject.dir, native });
    assert.equal(await again.stat(chain), null);
    assert.equal(await applyEntries(again, null, [{ name: "x" }]), chain);
  });

  it("keeps unsynced layers of this boot, and syncs them at disposal", async () => {
    await using subject = await make();
    const chain = await applyEntries(subject.snapshots, null, [{ name: "x" }]);
    const mark = join(subject.dir, "l", chain.slice(7, 23), "d");
    assert.ok(!existsSync(mark));
    {
      await using again = await openSnapshots({ dir: subject.dir, native });
      assert.notEqual(await again.stat(chain), null);
    }
    assert.ok(existsSync(mark));
  });

  it("clears away what a killed process left: mounts, half a layer, trash", async () => {
    await using subject = await make();
    const { dir } = subject;
    const script = `
      import { loadNative } from "@gantry/runtime";
      import { openSnapshots } from ${JSON.stringify(import.meta.resolve("./snapshots.ts"))};
      const snapshots = await openSnapshots({ dir: ${JSON.stringify(dir)}, native: loadNative().fs });
      await snapshots.prepare("key", null);
      await snapshots.mount("key");
      async function* half() { yield Buffer.alloc(100); process.kill(process.pid, "SIGKILL"); await new Promise(() => {}); }
      await snapshots.apply({ parent: null, diffId: "sha256:${"0".repeat(64)}", chainId: "sha256:${"0".repeat(64)}" }, half());`;
    const killed = spawnSync(process.execPath, ["--input-type=module", "-e", script], { cwd: import.meta.dirname, encoding: "utf8" });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.ok(readFileSync("/proc/self/mountinfo", "utf8").includes(`${dir}/m/`));
    assert.equal(readdirSync(join(dir, "t")).length, 1);
    await using again = await openSnapshots({ dir, native });
    await again.settle();
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(`${dir}/m/`));
    assert.deepEqual([readdirSync(join(dir, "t")), readdirSync(join(dir, "m"))], [[], []]);
    assert.deepEqual((await again.list()).map(({ key }) => key), ["key"]);
  });

  it("serves two openers of one directory", async () => {
    await using subject = await make();
    await using other = await openSnapshots({ dir: subject.dir, native });
    const entries = [{ name: "x", content: "y" }];
    const [one, two] = await Promise.all([applyEntries(subject.snapshots, null, entries), applyEntries(other, null, entries)]);
    assert.equal(one, two);
    await subject.snapshots.prepare("key", one);
    await assert.rejects(other.prepare("key", one), /already exists/);
    assert.equal(await other.collect(new Set()), 0);
  });

  it("does not collect what a layer being applied stands on", async () => {
    await using subject = await make();
    const { snapshots } = subject;
    const base = await applyEntries(snapshots, null, [{ name: "base" }]);
    const tar = makeTar([{ name: "x" }]);
    const diffId = digestOf(tar);
    async function* collecting() {
      yield tar.subarray(0, 100);
      assert.equal(await snapshots.collect(new Set()), 0);
      yield tar.subarray(100);
    }
    await snapshots.apply({ parent: base, diffId, chainId: chainIdOf(base, diffId) }, collecting());
    assert.notEqual(await snapshots.stat(base), null);
  });

  it("mounts by mount(2), too, for kernels before 6.5", async () => {
    await using subject = await make();
    const chain = await applyEntries(subject.snapshots, null, [{ name: "x", content: "y" }]);
    const rootfs = { ...(await subject.snapshots.prepare("key", chain)), oldApi: true };
    const target = join(subject.dir, "here");
    mkdirSync(target);
    await native.mountOverlay(rootfs, target);
    try {
      assert.equal(readFileSync(join(target, "x"), "utf8"), "y");
      unlinkSync(join(target, "x"));
    } finally {
      await native.unmount(target, false);
    }
    assert.deepEqual(await subject.snapshots.changes("key"), [{ path: "/x", kind: "deleted" }]);
  });
});

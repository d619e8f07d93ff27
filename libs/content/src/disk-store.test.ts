import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { bootId, processTag } from "@gantry/kernel";
import { contentContract } from "./contract-suite.ts";
import { DiskContentStore } from "./disk-store.ts";

function temporary(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "gantry-content-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

contentContract("disk", async () => {
  const dir = temporary();
  return { store: await DiskContentStore.open({ dir: dir.path }), [Symbol.asyncDispose]: async () => dir[Symbol.dispose]() };
});

const once = (bytes: string): Readable => Readable.from([Buffer.from(bytes)]);
const files = (dir: string): string[] => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => f.name);

describe("disk content store", () => {
  it("keeps no file of a failed ingest", async () => {
    using dir = temporary();
    const store = await DiskContentStore.open({ dir: dir.path });
    await assert.rejects(store.ingest(once("x"), { expected: `sha256:${"0".repeat(64)}` }));
    assert.deepEqual(files(dir.path), []);
  });

  it("removes at open what a dead process left half received, and spares the living", async () => {
    using dir = temporary();
    await DiskContentStore.open({ dir: dir.path });
    const dead = spawnSync("true").pid;
    writeFileSync(join(dir.path, "ingest", `${dead}.1-aa`), "half");
    writeFileSync(join(dir.path, "ingest", `${process.pid}.1-bb`), "of an earlier process with our number");
    writeFileSync(join(dir.path, "ingest", `${processTag()}-cc`), "ours");
    await DiskContentStore.open({ dir: dir.path });
    assert.deepEqual(readdirSync(join(dir.path, "ingest")), [`${processTag()}-cc`]);
  });

  it("forgets volatile blobs of an earlier boot, which may be torn", async () => {
    using dir = temporary();
    mkdirSync(join(dir.path, "volatile", "another-boot"), { recursive: true });
    writeFileSync(join(dir.path, "volatile", "another-boot", "0".repeat(64)), "torn");
    const store = await DiskContentStore.open({ dir: dir.path });
    assert.equal(await store.stat(`sha256:${"0".repeat(64)}`), null);
    assert.deepEqual(readdirSync(join(dir.path, "volatile")), [bootId()]);
  });

  it("syncs volatile blobs by file system when there are many, and one by one when few", async () => {
    using dir = temporary();
    let synced = 0;
    const store = await DiskContentStore.open({ dir: dir.path, syncfs: async () => { synced++; } });
    await store.ingest(once("one"), { volatile: true });
    await store.sync();
    assert.equal(synced, 0);
    for (let i = 0; i < 20; i++) await store.ingest(once(`${i}`), { volatile: true });
    await store.sync();
    assert.equal(synced, 1);
    assert.deepEqual(readdirSync(join(dir.path, "volatile", bootId())), []);
    assert.equal(files(join(dir.path, "sha256")).length, 21);
  });

  it("keeps volatile blobs volatile, and tells, when their sync fails", async () => {
    using dir = temporary();
    const store = await DiskContentStore.open({ dir: dir.path, syncfs: async () => { throw new Error("disk full"); } });
    for (let i = 0; i < 20; i++) await store.ingest(once(`${i}`), { volatile: true });
    await assert.rejects(store.sync(), /disk full/);
    assert.equal(files(join(dir.path, "sha256")).length, 0);
  });

  it("lists and deletes; a reader keeps what it has open", async () => {
    using dir = temporary();
    const store = await DiskContentStore.open({ dir: dir.path });
    const kept = await store.ingest(once("kept"));
    const gone = await store.ingest(once("gone"), { volatile: true });
    const reading = await store.open(gone.digest);
    assert.deepEqual((await Array.fromAsync(store.list())).map((b) => b.digest).sort(), [kept.digest, gone.digest].sort());
    await store.delete(gone.digest);
    await store.delete(gone.digest);
    assert.equal(await text(reading), "gone");
    assert.deepEqual((await Array.fromAsync(store.list())).map((b) => b.digest), [kept.digest]);
    assert.equal(await store.stat(gone.digest), null);
    const hex = kept.digest.slice("sha256:".length);
    assert.ok(existsSync(join(dir.path, "sha256", hex.slice(0, 2), hex.slice(2))));
  });
});

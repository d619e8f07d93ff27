import assert from "node:assert/strict";
import { test } from "node:test";
import { blobStat, imageList, imageRemove } from "@gantry/contracts";
import { systemClock, type Clock } from "@gantry/kernel";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskContentStore } from "@gantry/content";
import { silentLogger } from "@gantry/kernel";
import { gzipSync } from "node:zlib";
import { digestOf } from "@gantry/oci";
import { Catalog } from "../domain/catalog.ts";
import { putBlob, startStore } from "../testing/harness.ts";
import { buildStep, tarOf } from "../testing/images.ts";
import { Blobs } from "./blobs.ts";

async function* once(data: Uint8Array) { yield data; }

test("collection spares what is referred to, leased, fresh or just told of, and nothing else", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-blobs-"));
  try {
    let now = Date.now();
    const clock: Clock = { ...systemClock, now: () => now };
    const catalog = new Catalog();
    const content = await DiskContentStore.open({ dir });
    const blobs = new Blobs({ content, catalog, clock, logger: silentLogger, graceMs: 1000 });
    const put = async (text: string) => (await blobs.ingest(once(Buffer.from(text)))).digest;
    const kept = await put("kept"), leased = await put("leased"), told = await put("told of"), fresh = await put("fresh"), idle = await put("idle");
    catalog.apply([{ type: "image", config: "", record: { id: digestOf("i"), parent: null, created: null, labels: null, os: "linux", layers: [{ diffId: kept, digest: kept, mediaType: "", blobSize: 4, size: 4 }] } }]);
    blobs.settled([kept]);
    const left = async () => { const all = []; for await (const blob of content.list()) all.push(blob.digest); return all.sort(); };
    const lease = blobs.lease([leased, idle]);
    assert.equal(await blobs.collect(), 0, "all are young");
    now += 5000;
    await blobs.stat(told);
    await put("fresh");
    {
      using _short = blobs.lease([idle]);
      await blobs.collect();
    }
    assert.deepEqual(await left(), [kept, leased, told, fresh, idle].sort());
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    assert.equal(await blobs.collect(), "leased".length + "idle".length);
    assert.deepEqual(await left(), [kept, told, fresh].sort());
    now += 5000;
    catalog.apply([{ type: "deleteImage", id: digestOf("i") }]);
    blobs.released([kept]);
    await blobs.collect();
    assert.deepEqual(await left(), []);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("layers are looked into while they stream; what is no layer is not", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-blobs-"));
  try {
    const content = await DiskContentStore.open({ dir });
    const blobs = new Blobs({ content, catalog: new Catalog(), clock: systemClock, logger: silentLogger, graceMs: 1000 });
    const tar = await tarOf({ a: "12345", b: "x".repeat(100_000) });
    const zip = gzipSync(tar);
    assert.deepEqual((await blobs.ingestLayer(once(tar))).facts, { compression: "none", diffId: null, size: 100_005 });
    assert.deepEqual((await blobs.ingestLayer(once(zip))).facts, { compression: "gzip", diffId: digestOf(tar), size: 100_005 });
    for (const data of [Buffer.from('{"json":true}'), gzipSync(Buffer.from("no tar".repeat(1000))), zip.subarray(0, zip.length - 10), Buffer.alloc(0), Buffer.from("plain text".repeat(1000))]) {
      assert.equal((await blobs.ingestLayer(once(data))).facts, null);
    }
    const later = new Blobs({ content, catalog: new Catalog(), clock: systemClock, logger: silentLogger, graceMs: 1000 });
    assert.deepEqual(await later.facts(digestOf(zip)), { compression: "gzip", diffId: digestOf(tar), size: 100_005 });
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("after image rm the layers' blobs go in the background, and a shared one stays", async () => {
  await using store = await startStore({ config: { blobGraceSeconds: 3600 } });
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base"] });
  const top = await buildStep(store, { parent: base, files: { b: "2" }, by: "COPY", tags: ["top"] });
  const lone = await putBlob(store, Buffer.from("a context that somebody is about to use"));
  await store.bus.call(imageRemove, { ref: "top", force: false, prune: true });
  for (const until = Date.now() + 10_000; Date.now() < until && await store.content.stat(top.layers[1]!.digest) !== null;) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await store.content.stat(top.layers[1]!.digest), null);
  assert.notEqual(await store.content.stat(base.layers[0]!.digest), null);
  assert.deepEqual(await store.bus.call(blobStat, { digest: lone.digest }), { size: lone.size });
});

test("an image whose layer was lost with the host is forgotten at the start, with its names", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base"] });
  const top = await buildStep(store, { parent: base, files: { b: "2" }, by: "COPY", tags: ["top"] });
  await store.content.delete(top.layers[1]!.digest);
  await store.restart();
  const { images } = await store.bus.call(imageList, { all: true, filters: {}, digests: false });
  assert.deepEqual(images.map((row) => [row["Id"], row["RepoTags"]]), [[base.id, ["base:latest"]]]);
});

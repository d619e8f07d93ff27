import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { fail } from "@gantry/contracts";
import { silentLogger } from "@gantry/kernel";
import { loadNative } from "@gantry/runtime";
import { ensureLayers, type BlobSource, type ChainLayer } from "./fetch-chain.ts";
import { chainIdOf } from "./layout.ts";
import { openSnapshots, type OverlaySnapshots } from "./snapshots.ts";
import { formatHeader } from "./tar/header.ts";

const dir = mkdtempSync(join(tmpdir(), "gantry-fetch-chain-"));
let snapshots: OverlaySnapshots;
before(async () => { snapshots = await openSnapshots({ dir, native: loadNative().fs }); });
after(async () => {
  await snapshots[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const digest = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const TYPE = { none: "application/vnd.oci.image.layer.v1.tar", gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip", zstd: "application/vnd.oci.image.layer.v1.tar+zstd" };

function tar(name: string): Buffer {
  const entry = { type: "file", name, linkName: "", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 0n, major: 0, minor: 0, xattrs: [] } as const;
  return Buffer.concat([formatHeader(entry), Buffer.alloc(1024)]);
}

/** A chain of one file a layer, each compressed in another way, and the store it is in. */
function chain(prefix: string): { layers: ChainLayer[]; blobs: BlobSource & { opened: string[]; stored: Map<string, Buffer> } } {
  const stored = new Map<string, Buffer>();
  const opened: string[] = [];
  let parent: string | null = null;
  const layers = (["none", "gzip", "zstd"] as const).map((how) => {
    const plain = tar(`${prefix}-${how}`);
    const blob = how === "none" ? plain : how === "gzip" ? gzipSync(plain) : zstdCompressSync(plain);
    stored.set(digest(blob), blob);
    parent = chainIdOf(parent, digest(plain));
    return { diffId: digest(plain), chainId: parent, digest: digest(blob), mediaType: TYPE[how] };
  });
  const open = async (id: string): Promise<Readable> => {
    opened.push(id);
    const blob = stored.get(id);
    if (blob === undefined) throw fail("NO_SUCH_BLOB", `blob not found: ${id}`);
    return Readable.from([blob], { objectMode: false });
  };
  return { layers, blobs: { open, opened, stored } };
}

test("a chain comes whole, whatever its layers are compressed with; what is here is not fetched again", async () => {
  const { layers, blobs } = chain("whole");
  const told: string[] = [];
  const options = { logger: silentLogger, onLayer: (layer: ChainLayer, state: string) => told.push(`${layers.indexOf(layer)} ${state}`) };
  await ensureLayers(snapshots, blobs, layers.slice(0, 1), options);
  await Promise.all([ensureLayers(snapshots, blobs, layers, options), ensureLayers(snapshots, blobs, layers, { logger: silentLogger })]);
  for (const { chainId } of layers) assert.ok(await snapshots.stat(chainId));
  assert.deepEqual(told, ["0 fetching", "0 done", "1 fetching", "1 done", "2 fetching", "2 done"]);
  const before = blobs.opened.length;
  await ensureLayers(snapshots, blobs, layers, options);
  assert.equal(blobs.opened.length, before);
  await ensureLayers(snapshots, blobs, [], options);
});

test("damaged and missing layers, and media types that are none, are named", async () => {
  const { layers, blobs } = chain("bad");
  const attempt = (list: readonly ChainLayer[]) => ensureLayers(snapshots, blobs, list, { logger: silentLogger });
  const [first, gzip] = layers as [ChainLayer, ChainLayer];
  await assert.rejects(attempt([first, { ...gzip, mediaType: "text/plain" }]), { code: "INVALID", message: new RegExp(gzip.digest) });
  const good = blobs.stored.get(gzip.digest)!;
  blobs.stored.set(gzip.digest, good.subarray(0, good.length - 12));
  await assert.rejects(attempt(layers), { code: "INVALID", message: /damaged gzip data/ });
  blobs.stored.set(gzip.digest, gzipSync(tar("other")));
  await assert.rejects(attempt(layers), { code: "DIGEST_MISMATCH" });
  blobs.stored.delete(gzip.digest);
  await assert.rejects(attempt(layers), { code: "NO_SUCH_BLOB" });
  assert.equal(await snapshots.stat(gzip.chainId), null);
  blobs.stored.set(gzip.digest, good);
  await attempt(layers);
  await assert.rejects(ensureLayers(snapshots, blobs, chain("stopped").layers, { logger: silentLogger, signal: AbortSignal.abort(new Error("stopped")) }), /stopped/);
});

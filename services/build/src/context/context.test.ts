import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { inChunks, tarOf, type Files } from "../testing/tar.ts";
import { type ArchiveBytes, bytesWithin, PieceReader } from "./archive-bytes.ts";
import { loadArchive } from "./load.ts";
import { resolveNode, type SourceNode } from "./tree.ts";

const long = `${"d".repeat(120)}/`.repeat(2);
const big = randomBytes(3_000_000);
const FILES: Files = {
  "./": {}, "./a": "first", "dir/": { mode: 0o700 }, "dir/big": { data: big }, "dir/empty": "", [`${long}name`]: "long", "link": { type: "symlink", linkName: "a" },
  "hard": { type: "link", linkName: "./dir/big" }, "z": { data: Buffer.alloc(512, 7) },
};

const memory = (bytes: Buffer, opened: number[] = []): ArchiveBytes => ({
  open: async ({ offset, length }) => { opened.push(offset); return Readable.from(inChunks(bytes.subarray(offset, offset + length), 1000), { objectMode: false }); },
});

async function content(reader: PieceReader, node: SourceNode | null): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(reader.read(node!.entry.offset, node!.entry.size)));
}

test("an archive is read once: entries, digests and places of their content, however the chunks fall", async () => {
  const tar = tarOf(FILES);
  for (const size of [511, 512, 7_001, 10_000_000]) {
    await using archive = await loadArchive(inChunks(tar, size), memory(tar), "/nowhere");
    const node = (path: string) => resolveNode(archive.tree.root, path);
    assert.equal(archive.size, tar.length);
    assert.equal(node("dir/big")!.entry.sha256, createHash("sha256").update(big).digest("hex"));
    assert.equal(node("dir/empty")!.entry.sha256, "");
    assert.equal(node(`${long}name`)!.entry.size, 4);
    assert.equal(node("hard")!.entry.offset, node("dir/big")!.entry.offset);
    assert.equal(node("hard")!.entry.inode, node("dir/big")!.entry.inode);
    await using reader = new PieceReader(archive.bytes, tar.length);
    assert.equal((await content(reader, node("a"))).toString(), "first");
    assert.ok((await content(reader, node("dir/big"))).equals(big));
    assert.ok((await content(reader, node("z"))).equals(Buffer.alloc(512, 7)));
    assert.equal((await content(reader, node("link"))).toString(), "first");
  }
});

test("pieces that lie one behind the other are read through one open", async () => {
  const bytes = randomBytes(5_000_000);
  const opened: number[] = [];
  await using reader = new PieceReader(memory(bytes, opened), bytes.length);
  for (const [offset, size] of [[10, 100], [110, 5000], [600_000, 1], [600_001, 300_000], [4_000_000, 10], [0, 5]] as const) {
    assert.ok(Buffer.concat(await Array.fromAsync(reader.read(offset, size))).equals(bytes.subarray(offset, offset + size)), `${offset}`);
  }
  assert.deepEqual(opened, [10, 4_000_000, 0]);
  await assert.rejects(Array.fromAsync(reader.read(4_999_999, 2)), { code: "INVALID" });
  const inner = bytesWithin(memory(bytes), 1000);
  assert.ok(Buffer.concat(await Array.fromAsync(await inner.open({ offset: 5, length: 7 }))).equals(bytes.subarray(1005, 1012)));
});

test("compressed archives are spooled, and the spool goes with them", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-context-"));
  try {
    const tar = tarOf(FILES);
    const options = { input: tar, maxBuffer: 1 << 30 };
    const compressed = { gzip: gzipSync(tar), zstd: zstdCompressSync(tar), xz: execFileSync("xz", options), bzip2: execFileSync("bzip2", options) };
    for (const [name, bytes] of Object.entries(compressed)) {
      {
        await using archive = await loadArchive(inChunks(bytes), memory(bytes), dir);
        await using reader = new PieceReader(archive.bytes, archive.size);
        assert.ok((await content(reader, resolveNode(archive.tree.root, "dir/big"))).equals(big), name);
        assert.equal(readdirSync(dir).length, 1);
      }
      assert.deepEqual(readdirSync(dir), []);
      await assert.rejects(loadArchive(inChunks(bytes.subarray(0, bytes.length / 2)), memory(bytes), dir), { code: "INVALID" }, name);
      assert.deepEqual(readdirSync(dir), [], "nothing is left of a damaged one");
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("what is no tar, or breaks off, is refused", async () => {
  const tar = tarOf(FILES);
  for (const bad of [Buffer.from("no tar".repeat(1000)), tar.subarray(0, 700_000), tar.subarray(0, 100)]) {
    await assert.rejects(loadArchive(inChunks(bad), memory(bad), "/nowhere"), { code: "INVALID" });
  }
  await using empty = await loadArchive(inChunks(Buffer.alloc(1024)), memory(Buffer.alloc(1024)), "/nowhere");
  assert.equal(empty.tree.size, 0);
});

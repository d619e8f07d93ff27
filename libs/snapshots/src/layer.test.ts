import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { loadNative } from "@gantry/runtime";
import { applyLayer } from "./layer-apply.ts";
import { diffLayer } from "./layer-diff.ts";
import { digestOf, inPieces, listTar, makeTar, type Listed, type Made } from "./test-tar.ts";

const native = loadNative().fs;
const invalid = (e: unknown): boolean => isGantryError(e, "INVALID");

function temporary(): Disposable & { path: string; layer(): string } {
  const path = mkdtempSync(join(tmpdir(), "gantry-layer-"));
  let count = 0;
  return {
    path,
    layer() {
      const layer = join(path, `layer${count++}`);
      mkdirSync(layer, { mode: 0o755 });
      return layer;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}

const apply = (dir: string, tar: Buffer, lowers: string[] = []) => applyLayer(native, dir, lowers, digestOf(tar), inPieces(tar, 3000));
const diff = async (dir: string): Promise<Buffer> => Buffer.concat(await Array.fromAsync(diffLayer(native, dir, () => false, { bytes: 0 })));

/** Numbers from a seed, so that a failure can be had again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    state ^= state >>> 13;
    return (state >>> 0) % below;
  };
}

/** A tree as a diff would write it: sorted by component, every directory with an entry, whiteouts and opaque marks included. */
function generate(seed: number): Made[] {
  const pick = random(seed);
  const names = ["a", "b", "bin", "lib.so.1", "with blank", "\xc3\xa4\xff", "x".repeat(180), "new\nline", "'"];
  const entries: Made[] = [];
  const files: string[] = [];
  const attributes = () => ({
    mode: pick(0o10000), uid: [0, 1, 1000, 70_000, 3_000_000_000][pick(5)]!, gid: [0, 5, 4_000_000_000][pick(3)]!,
    mtimeNs: BigInt(pick(2 ** 31)) * 1_000_000_000n + BigInt([0, 1, 123_456_789][pick(3)]!),
  });
  const xattrs = () => (pick(4) > 0 ? [] : [{ name: "user.one", value: Buffer.from([pick(256), 0, 255]) }, { name: "user.two", value: Buffer.alloc(pick(100)) }]);
  const fill = (dir: string, depth: number): void => {
    for (const name of names.filter(() => pick(3) > 0).sort((x, y) => Buffer.from(x, "latin1").compare(Buffer.from(y, "latin1")))) {
      const path = dir + name;
      const kind = pick(depth > 3 ? 7 : 10);
      if (kind > 6) {
        entries.push({ type: "directory", name: `${path}/`, ...attributes(), xattrs: xattrs() });
        if (pick(4) === 0) entries.push({ name: `${path}/.wh..wh..opq`, mode: 0 });
        fill(`${path}/`, depth + 1);
      } else if (kind === 6 && files.length > 0) entries.push({ type: "link", name: path, linkName: files[pick(files.length)]! });
      else if (kind === 5) entries.push({ type: "symlink", name: path, linkName: ["/etc/x", "../..", "y".repeat(200)][pick(3)]!, ...attributes(), mode: 0o777 });
      else if (kind === 4) entries.push({ type: pick(2) ? "char" : "block", name: path, major: 1 + pick(200), minor: pick(70_000), ...attributes() });
      else if (kind === 3) entries.push({ type: "fifo", name: path, ...attributes() });
      else {
        const size = [0, 1, 511, 512, 513, 65_536, 65_537, 200_000][pick(8)]!;
        const content = pick(2) ? Buffer.alloc(size) : Buffer.alloc(size, `${seed}${path}`, "latin1");
        if (size > 150_000 && pick(2)) content.fill(0, 10_000, 100_000);
        entries.push({ name: path, content, ...attributes(), xattrs: xattrs() });
        files.push(path);
      }
    }
  };
  fill("", 0);
  return entries;
}

/** Hard links have the attributes of what they are of. */
function comparable(listed: Listed[]): unknown[] {
  return listed.map((e) => (e.type === "link" ? { type: e.type, name: e.name, linkName: e.linkName } : e));
}

describe("layers", () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`come back from apply and diff as they were (seed ${seed})`, async () => {
      using dir = temporary();
      const tar = makeTar(generate(seed));
      const one = dir.layer();
      await apply(one, tar);
      const out = await diff(one);
      assert.deepEqual(comparable(await listTar([out])), comparable(await listTar([tar])));
      const two = dir.layer();
      await apply(two, out);
      assert.equal(digestOf(await diff(two)), digestOf(out), "the second time to the byte");
    });
  }

  it("restore holes", async () => {
    using dir = temporary();
    const content = Buffer.alloc(1 << 20);
    content.write("in the middle", 500_000);
    const layer = dir.layer();
    await apply(layer, makeTar([{ name: "sparse", content }, { name: "zeros", content: Buffer.alloc(1 << 20) }]));
    assert.deepEqual(readFileSync(join(layer, "sparse")), content);
    assert.ok(statSync(join(layer, "sparse")).blocks <= 16);
    assert.equal(statSync(join(layer, "zeros")).blocks, 0);
    assert.deepEqual((await listTar([await diff(layer)]))[0]!.content, content);
  });

  it("do not write out holes from disk", async () => {
    using dir = temporary();
    const layer = dir.layer();
    execFileSync("truncate", ["-s", "50M", join(layer, "big")]);
    assert.equal((await listTar([await diff(layer)]))[0]!.content.length, 50 << 20);
  });

  it("keep whiteouts of what lower layers have", async () => {
    using dir = temporary();
    const lower = dir.layer();
    await apply(lower, makeTar([{ name: "dir/x" }, { name: "y" }]));
    const upper = dir.layer();
    await apply(upper, makeTar([{ name: "dir/.wh.x" }, { name: ".wh.y" }, { name: ".wh..wh.plnk" }, { name: ".wh..wh.aufs" }]), [lower]);
    assert.deepEqual((await listTar([await diff(upper)])).map((e) => e.name), ["dir/", "dir/.wh.x", ".wh.y"]);
  });

  it("replace earlier entries by later ones", async () => {
    using dir = temporary();
    const layer = dir.layer();
    await apply(layer, makeTar([
      { name: "a", content: "first" }, { name: "a", content: "second" },
      { type: "directory", name: "d" }, { name: "d/x", content: "x" }, { name: "d", content: "file" },
      { name: "e", content: "file" }, { type: "directory", name: "e" }, { name: "e/x" },
      { type: "symlink", name: "l", linkName: "e" }, { name: "l/through" }, { type: "directory", name: "l" }, { name: "l/own" },
      { name: "deep/down/d/x" }, { name: "deep/down/d", content: "file" }, { name: "deep/down/other", content: "other" },
    ]));
    assert.equal(readFileSync(join(layer, "deep/down/d"), "utf8"), "file");
    assert.equal(readFileSync(join(layer, "a"), "utf8"), "second");
    assert.equal(readFileSync(join(layer, "d"), "utf8"), "file");
    assert.deepEqual([readdirSync(join(layer, "e")).sort(), readdirSync(join(layer, "l"))], [["through", "x"], ["own"]]);
  });

  it("refuse names that lead out", async () => {
    using dir = temporary();
    for (const name of ["../escaped", "a/../../escaped", "..", "./../escaped"]) {
      await assert.rejects(apply(dir.layer(), makeTar([{ name, content: "x" }])), invalid, name);
      await assert.rejects(apply(dir.layer(), makeTar([{ name: "x" }, { type: "link", name: "y", linkName: name }])), invalid, name);
      await assert.rejects(apply(dir.layer(), makeTar([{ name: `${name}/.wh.x` }])), invalid, name);
    }
    for (const name of ["", "/", ".", "a/.."]) await assert.rejects(apply(dir.layer(), makeTar([{ name, content: "x" }])), invalid, `root: ${name}`);
    await assert.rejects(apply(dir.layer(), makeTar([{ name: "x".repeat(300) }])), invalid);
    await assert.rejects(apply(dir.layer(), makeTar([{ name: "x/".repeat(3000) }])), invalid);
    await assert.rejects(apply(dir.layer(), makeTar([{ name: "nul\0in it" }])), invalid);
    await assert.rejects(apply(dir.layer(), makeTar([{ name: ".wh." }])), invalid);
    await assert.rejects(apply(dir.layer(), makeTar([{ name: ".wh..." }])), invalid);
    assert.ok(!existsSync(join(dir.path, "escaped")));
  });

  it("take absolute names from their root", async () => {
    using dir = temporary();
    const layer = dir.layer();
    await apply(layer, makeTar([{ name: "/etc/file", content: "x" }, { type: "link", name: "//link", linkName: "/etc/file" }, { name: "a/../b", content: "y" }]));
    assert.equal(statSync(join(layer, "link")).ino, statSync(join(layer, "etc/file")).ino);
    assert.equal(readFileSync(join(layer, "b"), "utf8"), "y");
  });

  it("never follow a link out", async () => {
    using dir = temporary();
    const outside = join(dir.path, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "victim"), "victim", { mode: 0o600 });
    const attacks: Made[][] = [
      [{ type: "symlink", name: "out", linkName: outside }, { name: "out/planted", content: "x" }],
      [{ type: "symlink", name: "out", linkName: "../outside" }, { name: "out/planted", content: "x" }],
      [{ type: "symlink", name: "out", linkName: "../../../../../../../../../../../../tmp" }, { name: "out/gantry-planted", content: "x" }],
      [{ type: "symlink", name: "out", linkName: `${outside}/victim` }, { name: "out", content: "x" }],
      [{ type: "symlink", name: "out", linkName: outside }, { type: "link", name: "stolen", linkName: "out/victim" }],
      [{ type: "symlink", name: "out", linkName: `${outside}/victim` }, { type: "link", name: "stolen", linkName: "out" }, { name: "stolen", content: "x" }],
      [{ type: "symlink", name: "out", linkName: outside }, { name: "out/.wh.victim" }, { name: "out/.wh..wh..opq" }],
      [{ type: "symlink", name: "a", linkName: "b" }, { type: "symlink", name: "b", linkName: "a" }, { name: "a/x" }],
      [{ type: "directory", name: "d", mode: 0o777 }, { type: "symlink", name: "d", linkName: outside }, { type: "directory", name: "d/sub", mode: 0o777 }],
      [{ type: "symlink", name: "proc", linkName: "/proc/self/root" }, { name: "proc/gantry-planted", content: "x" }],
    ];
    for (const attack of attacks) {
      await apply(dir.layer(), makeTar(attack)).catch((e: unknown) => assert.ok(isGantryError(e, "INVALID"), String(e)));
      assert.deepEqual(readdirSync(outside), ["victim"]);
      assert.equal(readFileSync(join(outside, "victim"), "utf8"), "victim");
      assert.deepEqual([statSync(join(outside, "victim")).mode & 0o777, statSync(join(outside, "victim")).nlink], [0o600, 1]);
    }
    assert.ok(!existsSync("/tmp/gantry-planted") && !existsSync("/gantry-planted"));
  });

  it("do not let an archive speak for overlay", async () => {
    using dir = temporary();
    const layer = dir.layer();
    const xattrs = ["trusted.overlay.redirect", "trusted.overlay.opaque", "trusted.overlay.metacopy", "user.overlay.opaque"].map((name) => ({ name, value: Buffer.from("y") }));
    await apply(layer, makeTar([{ type: "directory", name: "d", xattrs }, { name: "f", xattrs }]));
    assert.deepEqual([native.listXattrSync(join(layer, "d")), native.listXattrSync(join(layer, "f"))], [[], []]);
  });

  it("keep file capabilities, which are binary", async () => {
    using dir = temporary();
    const layer = dir.layer();
    const value = Buffer.from([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    await apply(layer, makeTar([{ name: "ping", mode: 0o755, uid: 1, content: "x", xattrs: [{ name: "security.capability", value }] }]));
    assert.deepEqual(native.getXattrSync(join(layer, "ping"), "security.capability"), value);
  });

  it("leave sockets out, and survive names that vanish", async () => {
    using dir = temporary();
    const layer = dir.layer();
    native.mknodatSync(-100, join(layer, "socket"), 0o140644, 0, 0);
    writeFileSync(join(layer, "file"), "x");
    assert.ok(lstatSync(join(layer, "socket")).isSocket());
    assert.deepEqual((await listTar([await diff(layer)])).map((e) => e.name), ["file"]);
  });

  it("keep back-pressure and memory bounded", async () => {
    using dir = temporary();
    const layer = dir.layer();
    for (let i = 0; i < 40; i++) writeFileSync(join(layer, `f${i}`), Buffer.alloc(1 << 20, i));
    const stream = diffLayer(native, layer, () => false, { bytes: 0 });
    let most = 0;
    let bytes = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      most = Math.max(most, stream.readableLength);
    }
    assert.ok(bytes > 40 << 20);
    assert.ok(most <= 4 << 20, `${most} bytes were buffered`);
  });
});

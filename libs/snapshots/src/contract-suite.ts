import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { loadNative } from "@gantry/runtime";
import { chainIdOf } from "./layout.ts";
import type { Snapshotter } from "./port.ts";
import { digestOf, inPieces, listTar, makeTar, type Made } from "./test-tar.ts";

const is = (code: string) => (e: unknown): boolean => isGantryError(e, code);

/** Applies a layer of entries and answers its chain ID. */
export async function applyEntries(snapshots: Snapshotter, parent: string | null, entries: readonly Made[]): Promise<string> {
  const tar = makeTar(entries);
  const diffId = digestOf(tar);
  return (await snapshots.apply({ parent, diffId, chainId: chainIdOf(parent, diffId) }, inPieces(tar))).chainId;
}

export async function diffOf(snapshots: Snapshotter, key: string): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(snapshots.diff(key)));
}

const dir = (name: string, more: Made = {}): Made => ({ type: "directory", name, ...more });

/** What every snapshotter must do. `make` gives an empty one, disposed after each test. Needs root. */
export function snapshotterContract(name: string, make: () => Promise<{ snapshots: Snapshotter } & AsyncDisposable>): void {
  describe(`snapshotter contract: ${name}`, () => {
    it("applies a layer and mounts it", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const chain = await applyEntries(snapshots, null, [
        dir("etc", { mode: 0o1777, mtimeNs: 5_000_000_000n }),
        { name: "etc/passwd", content: "root", mode: 0o640, uid: 1, gid: 2, mtimeNs: 1_234_567_890_123_456_789n },
        { name: "bin/su", content: "su", mode: 0o6755 },
        { type: "link", name: "bin/sudo", linkName: "bin/su" },
        { type: "symlink", name: "sh", linkName: "/bin/su", uid: 3 },
        { type: "char", name: "dev/null", major: 1, minor: 3, mode: 0o666 },
        { type: "fifo", name: "pipe" },
      ]);
      await snapshots.prepare("key", chain);
      await using mounted = await snapshots.mount("key");
      const stat = (path: string) => lstatSync(join(mounted.path, path), { bigint: true });
      assert.equal(readFileSync(join(mounted.path, "etc/passwd"), "utf8"), "root");
      assert.equal(stat("etc").mode & 0o7777n, 0o1777n);
      assert.equal(stat("etc").mtimeNs, 5_000_000_000n);
      assert.deepEqual([stat("etc/passwd").mode & 0o7777n, stat("etc/passwd").uid, stat("etc/passwd").gid], [0o640n, 1n, 2n]);
      assert.equal(stat("etc/passwd").mtimeNs, 1_234_567_890_123_456_789n);
      assert.equal(stat("bin/su").mode & 0o7777n, 0o6755n);
      assert.equal(stat("bin/su").nlink, 2n);
      assert.equal(readlinkSync(join(mounted.path, "sh")), "/bin/su");
      assert.equal(stat("sh").uid, 3n);
      assert.ok(stat("dev/null").isCharacterDevice() && stat("dev/null").rdev === 0x103n);
      assert.ok(stat("pipe").isFIFO());
    });

    it("tells what it knows of a layer", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const lower = await applyEntries(snapshots, null, [{ name: "a", content: "12345" }]);
      const upper = await applyEntries(snapshots, lower, [{ name: "b", content: "123" }, { type: "link", name: "c", linkName: "b" }]);
      assert.deepEqual(await snapshots.stat(lower), { chainId: lower, parent: null, diffId: lower, size: 5 });
      assert.equal((await snapshots.stat(upper))!.size, 3);
      assert.equal((await snapshots.stat(upper))!.parent, lower);
      assert.equal(await snapshots.stat(`sha256:${"0".repeat(64)}`), null);
    });

    it("hides and replaces what lower layers have", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const lower = await applyEntries(snapshots, null, [
        { name: "gone", content: "x" }, { name: "kept", content: "old" }, { name: "opaque/old" }, { name: "dir/file" }, { name: "was/dir" }, { name: "both/old" },
      ]);
      const upper = await applyEntries(snapshots, lower, [
        { name: ".wh.gone" }, { name: "kept", content: "new" }, { name: "opaque/new" }, { name: "opaque/.wh..wh..opq" },
        { name: "dir/.wh.file" }, { name: "was", content: "a file now" },
        // A directory that is hidden and made anew shows nothing of the old one, in whatever order they stand.
        dir("both"), { name: "both/new" }, { name: ".wh.both" },
      ]);
      await snapshots.prepare("key", upper);
      await using mounted = await snapshots.mount("key", { readonly: true });
      const list = (path: string) => readdirSync(join(mounted.path, path)).sort();
      assert.deepEqual(list(""), ["both", "dir", "kept", "opaque", "was"]);
      assert.equal(readFileSync(join(mounted.path, "kept"), "utf8"), "new");
      assert.deepEqual([list("opaque"), list("dir"), list("both")], [["new"], [], ["new"]]);
      assert.ok(lstatSync(join(mounted.path, "was")).isFile());
      assert.throws(() => writeFileSync(join(mounted.path, "kept"), ""), /EROFS/);
    });

    it("shows no trace of a whiteout that hides nothing", async () => {
      await using subject = await make();
      const chain = await applyEntries(subject.snapshots, null, [{ name: "dir/.wh.nothing" }, { name: "dir/x" }, { name: ".wh.nothing" }]);
      await subject.snapshots.prepare("key", chain);
      await using mounted = await subject.snapshots.mount("key");
      assert.deepEqual(readdirSync(mounted.path), ["dir"]);
      assert.deepEqual(readdirSync(join(mounted.path, "dir")), ["x"]);
    });

    it("gives directories without an entry the attributes they have below", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const lower = await applyEntries(snapshots, null, [dir("", { name: "./", mode: 0o711 }), dir("tmp", { mode: 0o1777, uid: 5, gid: 6 })]);
      const upper = await applyEntries(snapshots, lower, [{ name: "tmp/deep/file" }]);
      await snapshots.prepare("key", upper);
      await using mounted = await snapshots.mount("key");
      const tmp = statSync(join(mounted.path, "tmp"));
      assert.deepEqual([tmp.mode & 0o7777, tmp.uid, tmp.gid], [0o1777, 5, 6]);
      assert.equal(statSync(mounted.path).mode & 0o7777, 0o711);
    });

    it("turns changes to a layer that gives the same files", async () => {
      await using subject = await make();
      await using other = await make();
      const base: Made[] = [{ name: "a/one", content: "1" }, { name: "a/two", content: "2" }, { name: "b/three", content: "3" }, { name: "c/four" }, dir("d")];
      const parent = await applyEntries(subject.snapshots, null, base);
      await subject.snapshots.prepare("key", parent, { volatile: true });
      {
        await using mounted = await subject.snapshots.mount("key");
        execFileSync("sh", ["-ec", `
          rm a/one; echo changed > a/two; rm -r b; mkdir b; echo new > b/new; rm -r c; echo file > c
          mkdir -m 2750 'd/new dir'; echo x > 'd/new dir/x'; ln 'd/new dir/x' d/link; ln -s ../a d/sym; mkfifo d/fifo; mknod d/null c 1 3
          chown 1234567:7654321 d/link; touch -hd @1.000000007 d/sym; truncate -s 3M d/sparse; printf end >> d/sparse; chmod u+s d/link`], { cwd: mounted.path });
        loadNative().fs.setXattrSync(join(mounted.path, "d/sparse"), "user.a", Buffer.from([0, 255, 10]));
      }
      const tar = await diffOf(subject.snapshots, "key");
      const diffId = digestOf(tar);
      const chainId = chainIdOf(parent, diffId);
      const names = (await listTar([tar])).map((entry) => entry.name);
      assert.deepEqual(names, ["a/", "a/.wh.one", "a/two", "b/", "b/.wh..wh..opq", "b/new", "c", "d/", "d/fifo", "d/link",
        "d/new dir/", "d/new dir/x", "d/null", "d/sparse", "d/sym"]);
      assert.deepEqual(digestOf(await diffOf(subject.snapshots, "key")), diffId);
      const committed = await subject.snapshots.commit("key", { diffId, chainId });
      assert.deepEqual(await subject.snapshots.commit("key", { diffId, chainId }), committed);
      assert.deepEqual(await subject.snapshots.list(), []);
      await assert.rejects(subject.snapshots.rootfs("key"), is("NOT_FOUND"));

      await applyEntries(other.snapshots, null, base);
      const applied = await other.snapshots.apply({ parent, diffId, chainId }, inPieces(tar, 777));
      assert.deepEqual(applied, committed);
      const shown = [];
      for (const { snapshots } of [subject, other]) {
        await snapshots.prepare("look", chainId);
        await using mounted = await snapshots.mount("look");
        shown.push(execFileSync("sh", ["-ec", `tar --xattrs --xattrs-include='*' --sort=name --format=pax --pax-option=delete=atime,delete=ctime -cf - a b c d | sha256sum`], { cwd: mounted.path }).toString());
        assert.equal(statSync(join(mounted.path, "d/sparse")).size, 3 * 1024 * 1024 + 3);
        assert.ok(statSync(join(mounted.path, "d/sparse")).blocks < 100, "holes stay holes");
      }
      assert.equal(shown[0], shown[1]);
    });

    it("lists changes as docker diff does", async () => {
      await using subject = await make();
      const parent = await applyEntries(subject.snapshots, null, [{ name: "etc/a" }, { name: "etc/b" }, { name: "old/x" }]);
      await subject.snapshots.prepare("key", parent);
      {
        await using mounted = await subject.snapshots.mount("key");
        execFileSync("sh", ["-ec", "rm etc/a; echo x > etc/b; mkdir new; touch new/f; rm -r old; mkdir old; touch old/x"], { cwd: mounted.path });
      }
      assert.deepEqual(await subject.snapshots.changes("key"), [
        { path: "/etc", kind: "modified" }, { path: "/etc/a", kind: "deleted" }, { path: "/etc/b", kind: "modified" },
        { path: "/new", kind: "added" }, { path: "/new/f", kind: "added" }, { path: "/old", kind: "modified" }, { path: "/old/x", kind: "added" },
      ]);
    });

    it("works on nothing: a snapshot without a parent", async () => {
      await using subject = await make();
      await subject.snapshots.prepare("scratch", null);
      {
        await using mounted = await subject.snapshots.mount("scratch");
        assert.deepEqual(readdirSync(mounted.path), []);
        writeFileSync(join(mounted.path, "hello"), "hello");
      }
      {
        await using mounted = await subject.snapshots.mount("scratch", { readonly: true });
        assert.equal(readFileSync(join(mounted.path, "hello"), "utf8"), "hello");
      }
      assert.deepEqual((await listTar([await diffOf(subject.snapshots, "scratch")])).map((e) => e.name), ["hello"]);
      assert.equal(await subject.snapshots.usage("scratch"), 5);
    });

    it("mounts a volatile snapshot again and again", async () => {
      await using subject = await make();
      await subject.snapshots.prepare("key", null, { volatile: true });
      for (let i = 0; i < 3; i++) {
        await using mounted = await subject.snapshots.mount("key");
        writeFileSync(join(mounted.path, `${i}`), "");
        assert.equal(readdirSync(mounted.path).length, i + 1);
      }
      assert.equal((await subject.snapshots.rootfs("key")).volatile, true);
    });

    it("refuses a key twice, and what is not there", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const nowhere = `sha256:${"0".repeat(64)}`;
      await snapshots.prepare("key", null);
      await assert.rejects(snapshots.prepare("key", null), is("CONFLICT"));
      await assert.rejects(snapshots.prepare("other", nowhere), is("NOT_FOUND"));
      await assert.rejects(snapshots.rootfs("other"), is("NOT_FOUND"));
      await assert.rejects(snapshots.mount("other"), is("NOT_FOUND"));
      assert.throws(() => snapshots.diff("other"), is("NOT_FOUND"));
      await snapshots.remove("other");
      await snapshots.remove("key");
      assert.deepEqual(await snapshots.list(), []);
      await snapshots.prepare("key", null);
    });

    it("takes any text for a key", async () => {
      await using subject = await make();
      const keys = ["../../etc", "a/b", ".", "..", "with blank", "käse", "x".repeat(300)];
      for (const key of keys) {
        const { upper, work, lowers } = await subject.snapshots.prepare(key, null);
        for (const path of [upper!, work!, ...lowers]) assert.match(path, /^[A-Za-z0-9_.~/-]+$/);
      }
      assert.deepEqual((await subject.snapshots.list()).map(({ key }) => key).sort(), [...keys].sort());
    });

    it("refuses a layer of another digest, and keeps nothing of it", async () => {
      await using subject = await make();
      const diffId = digestOf(Buffer.from("another"));
      await assert.rejects(subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, inPieces(makeTar([{ name: "x" }]))), is("DIGEST_MISMATCH"));
      assert.equal(await subject.snapshots.stat(diffId), null);
      const chainId = digestOf(Buffer.from("made up"));
      await assert.rejects(subject.snapshots.apply({ parent: null, diffId, chainId }, inPieces(makeTar([]))), is("INVALID"));
    });

    it("counts the bytes behind the end of the archive to the diff ID", async () => {
      await using subject = await make();
      const tar = Buffer.concat([makeTar([{ name: "x", content: "y" }]), Buffer.alloc(10_240)]);
      await subject.snapshots.apply({ parent: null, diffId: digestOf(tar), chainId: digestOf(tar) }, inPieces(tar));
    });

    it("keeps nothing of a stream that breaks", async () => {
      await using subject = await make();
      const tar = makeTar([{ name: "x", content: "y".repeat(5000) }]);
      const diffId = digestOf(tar);
      async function* broken() {
        yield tar.subarray(0, 2000);
        throw new Error("the line broke");
      }
      await assert.rejects(subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, broken()), /the line broke/);
      await assert.rejects(subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, inPieces(tar.subarray(0, 2000))), is("INVALID"));
      assert.equal(await subject.snapshots.stat(diffId), null);
      await subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, inPieces(tar));
    });

    it("shares the work of concurrent applies", async () => {
      await using subject = await make();
      const tar = makeTar(Array.from({ length: 500 }, (_, i) => ({ name: `f${i}`, content: `${i}` })));
      const diffId = digestOf(tar);
      const all = await Promise.all([1, 2, 3].map(() => subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, inPieces(tar))));
      assert.ok(all.every(({ chainId }) => chainId === diffId));
      assert.deepEqual(await subject.snapshots.apply({ parent: null, diffId, chainId: diffId }, inPieces(tar)), all[0]);
    });

    it("collects layers that nothing needs, and no others", async () => {
      await using subject = await make();
      const { snapshots } = subject;
      const base = await applyEntries(snapshots, null, [{ name: "base", content: "1234" }]);
      const kept = await applyEntries(snapshots, base, [{ name: "kept" }]);
      const used = await applyEntries(snapshots, base, [{ name: "used" }]);
      const unused = await applyEntries(snapshots, base, [{ name: "unused", content: "123456" }]);
      await snapshots.prepare("key", used);
      assert.equal(await snapshots.collect(new Set([kept])), 6);
      const there = async () => Promise.all([base, kept, used, unused].map(async (chain) => (await snapshots.stat(chain)) !== null));
      assert.deepEqual(await there(), [true, true, true, false]);
      await snapshots.remove("key");
      await snapshots.collect(new Set());
      assert.deepEqual(await there(), [false, false, false, false]);
    });

    it("stacks many layers", async () => {
      await using subject = await make();
      let chain: string | null = null;
      for (let i = 0; i < 140; i++) chain = await applyEntries(subject.snapshots, chain, [{ name: `${i}`, content: `${i}` }]);
      await subject.snapshots.prepare("key", chain);
      await using mounted = await subject.snapshots.mount("key");
      assert.equal(readdirSync(mounted.path).length, 140);
      rmSync(join(mounted.path, "0"));
      mkdirSync(join(mounted.path, "new"));
    });
  });
}

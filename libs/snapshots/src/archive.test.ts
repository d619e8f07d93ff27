import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { loadNative } from "@gantry/runtime";
import { copyTree, mkdirInRoot, packTree, statInRoot, unpackTree, type PackOptions, type UnpackTreeOptions } from "./archive.ts";
import { inPieces, listTar, makeTar, type Made } from "./test-tar.ts";

const native = loadNative().fs;
const is = (code: string) => (e: unknown): boolean => isGantryError(e, code);

/** A root with a file outside of it that nothing may touch. */
function temporary(): Disposable & { root: string; path(p: string): string } {
  const dir = mkdtempSync(join(tmpdir(), "gantry-archive-"));
  const root = join(dir, "root");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/hostname"), "inside");
  mkdirSync(join(dir, "etc"));
  writeFileSync(join(dir, "etc/hostname"), "outside");
  return {
    root,
    path: (p) => join(root, p),
    [Symbol.dispose]() {
      assert.deepEqual(readdirSync(dir).sort(), ["etc", "root"]);
      assert.deepEqual([readdirSync(join(dir, "etc")), readFileSync(join(dir, "etc/hostname"), "utf8")], [["hostname"], "outside"]);
      rmSync(dir, { recursive: true });
    },
  };
}

const pack = async (root: string, path: string, options?: PackOptions) => listTar(packTree(native, root, path, options));
const names = async (root: string, path: string, options?: PackOptions) => (await pack(root, path, options)).map((e) => e.name);
const unpack = (root: string, path: string, entries: readonly Made[], options?: UnpackTreeOptions) =>
  unpackTree(native, root, path, inPieces(makeTar(entries), 2000), options);

describe("packTree", () => {
  it("names entries by the last component, or as told", async () => {
    using t = temporary();
    writeFileSync(t.path("etc/passwd"), "root");
    assert.deepEqual(await names(t.root, "/etc"), ["etc/", "etc/hostname", "etc/passwd"]);
    assert.deepEqual(await names(t.root, "etc/"), ["etc/", "etc/hostname", "etc/passwd"]);
    assert.deepEqual(await names(t.root, "/etc/."), ["./", "./hostname", "./passwd"]);
    assert.deepEqual(await names(t.root, "/etc", { name: "conf" }), ["conf/", "conf/hostname", "conf/passwd"]);
    assert.deepEqual(await names(t.root, "/", { contentsOnly: true }), ["etc/", "etc/hostname", "etc/passwd"]);
    const [file] = await pack(t.root, "/etc/passwd", { name: "other" });
    assert.deepEqual([file!.name, String(file!.content)], ["other", "root"]);
  });

  it("resolves links within the root", async () => {
    using t = temporary();
    symlinkSync("/etc", t.path("absolute"));
    symlinkSync("../../../../etc", t.path("relative"));
    symlinkSync("/etc/hostname", t.path("file"));
    for (const link of ["absolute", "relative"]) {
      assert.equal(String((await pack(t.root, `/${link}/hostname`))[0]!.content), "inside");
      assert.deepEqual((await pack(t.root, `/${link}`)).map((e) => e.type), ["symlink"]);
      assert.deepEqual(await names(t.root, `/${link}/`), [`${link}/`, `${link}/hostname`]);
      assert.deepEqual(await names(t.root, `/${link}`, { followRoot: true }), [`${link}/`, `${link}/hostname`]);
    }
    assert.equal(String((await pack(t.root, "/file", { followRoot: true }))[0]!.content), "inside");
    assert.equal(String((await pack(t.root, "../../etc/hostname"))[0]!.content), "inside");
    await assert.rejects(pack(t.root, "/nowhere"), is("NO_SUCH_PATH"));
    symlinkSync("loop", t.path("loop"));
    await assert.rejects(pack(t.root, "/loop/x"), is("INVALID"));
  });

  it("packs big files and hard links", async () => {
    using t = temporary();
    const big = Buffer.alloc(3_000_000, "big");
    writeFileSync(t.path("etc/big"), big);
    linkSync(t.path("etc/big"), t.path("etc/same"));
    const listed = await pack(t.root, "/etc");
    assert.deepEqual(listed.map((e) => [e.type, e.name, e.linkName]), [["directory", "etc/", ""], ["file", "etc/big", ""], ["file", "etc/hostname", ""], ["link", "etc/same", "etc/big"]]);
    assert.ok(listed[1]!.content.equals(big));
  });

  it("stops reading when nobody reads it", async () => {
    using t = temporary();
    for (let i = 0; i < 50; i++) writeFileSync(t.path(`etc/f${i}`), Buffer.alloc(100_000));
    for await (const _ of packTree(native, t.root, "/etc")) break;
  });
});

describe("unpackTree", () => {
  it("unpacks into a directory, whose own attributes stay", async () => {
    using t = temporary();
    const totals = await unpack(t.root, "/etc", [
      { type: "directory", name: "./", mode: 0o700, uid: 9 }, { type: "directory", name: "new", mtimeNs: 7_000_000_000n }, { name: "new/file", content: "x", uid: 3 },
      { name: "hostname", content: "replaced" },
    ]);
    assert.deepEqual(totals, { entries: 4, bytes: 9 });
    assert.deepEqual([statSync(t.path("etc")).mode & 0o777, statSync(t.path("etc")).uid], [0o755, 0]);
    assert.equal(statSync(t.path("etc/new")).mtimeMs, 7000);
    assert.equal(statSync(t.path("etc/new/file")).uid, 3);
    assert.equal(readFileSync(t.path("etc/hostname"), "utf8"), "replaced");
  });

  it("resolves links as the container sees them", async () => {
    using t = temporary();
    symlinkSync("/etc", t.path("link"));
    symlinkSync("/etc", t.path("etc/again"));
    await unpack(t.root, "/link", [{ name: "one" }, { name: "again/two" }]);
    assert.deepEqual(readdirSync(t.path("etc")).sort(), ["again", "hostname", "one", "two"]);
    symlinkSync("../../../../../../etc", t.path("up"));
    await unpack(t.root, "/up", [{ name: "three" }]);
    assert.ok(existsSync(t.path("etc/three")));
  });

  it("overrides owners, and makes the destination", async () => {
    using t = temporary();
    await assert.rejects(unpack(t.root, "/srv/app", []), is("NO_SUCH_PATH"));
    await assert.rejects(unpack(t.root, "/etc/hostname", []), is("INVALID"));
    await unpack(t.root, "/srv/app", [{ name: "sub/x", uid: 1, gid: 1 }], { uid: 1000, gid: 1001, makeDest: { mode: 0o755, uid: 1000, gid: 1001 } });
    for (const path of ["srv", "srv/app", "srv/app/sub", "srv/app/sub/x"]) {
      assert.deepEqual([statSync(t.path(path)).uid, statSync(t.path(path)).gid], [1000, 1001], path);
    }
  });

  it("keeps directories from giving way where asked", async () => {
    using t = temporary();
    mkdirSync(t.path("etc/dir"));
    const options = { noOverwriteDirNonDir: true };
    await assert.rejects(unpack(t.root, "/etc", [{ name: "dir", content: "x" }], options), /cannot overwrite directory "\/etc\/dir" with non-directory "\/etc"/);
    await assert.rejects(unpack(t.root, "/etc", [{ type: "directory", name: "hostname" }], options), is("INVALID"));
    await unpack(t.root, "/etc", [{ name: "dir", content: "x" }, { type: "directory", name: "hostname" }]);
    assert.ok(lstatSync(t.path("etc/dir")).isFile() && lstatSync(t.path("etc/hostname")).isDirectory());
  });

  it("bounds the bytes, and refuses names that lead out", async () => {
    using t = temporary();
    await assert.rejects(unpack(t.root, "/etc", [{ name: "x", content: "1234567" }], { maxBytes: 6 }), is("TOO_LARGE"));
    await assert.rejects(unpack(t.root, "/etc", [{ name: "../x" }]), is("INVALID"));
    // This link leads to the root itself, and the last name is a plain one in it.
    await unpack(t.root, "/", [{ type: "symlink", name: "l", linkName: "../.." }, { name: "l/x" }, { name: "l/etc/../../y" }]);
    assert.ok(existsSync(t.path("x")) && existsSync(t.path("y")));
  });
});

describe("statInRoot", () => {
  it("tells what Docker tells", () => {
    using t = temporary();
    utimesSync(t.path("etc/hostname"), 0, 1_700_000_000.5);
    assert.deepEqual(statInRoot(native, t.root, "/etc/hostname"), { name: "hostname", size: 6, mode: 0o644, mtime: "2023-11-14T22:13:20.5Z", linkTarget: "" });
    assert.equal(statInRoot(native, t.root, "/etc").mode, 2 ** 31 + 0o755);
    assert.equal(statInRoot(native, t.root, "/").name, "/");
    symlinkSync("../../../../etc/hostname", t.path("etc/link"));
    const link = statInRoot(native, t.root, "/etc/link");
    assert.deepEqual([link.name, link.mode, link.linkTarget], ["link", 2 ** 27 + 0o777, "/etc/hostname"]);
    symlinkSync("/etc", t.path("dir"));
    assert.equal(statInRoot(native, t.root, "/dir/").mode, 2 ** 31 + 0o755);
    assert.throws(() => statInRoot(native, t.root, "/nowhere"), is("NO_SUCH_PATH"));
    assert.throws(() => statInRoot(native, t.root, "/etc/hostname/"), is("INVALID"));
    execFileSync("sh", ["-c", "mkfifo fifo; mknod null c 1 3; chmod 4755 hostname"], { cwd: t.path("etc") });
    assert.equal(statInRoot(native, t.root, "/etc/fifo").mode, 2 ** 25 + 0o644);
    assert.equal(statInRoot(native, t.root, "/etc/null").mode, 2 ** 26 + 2 ** 21 + 0o644);
    assert.equal(statInRoot(native, t.root, "/etc/hostname").mode, 2 ** 23 + 0o755);
  });
});

describe("mkdirInRoot", () => {
  it("makes directories where the container would see them", () => {
    using t = temporary();
    const attributes = { mode: 0o750, uid: 5, gid: 6 };
    assert.equal(mkdirInRoot(native, t.root, "/a/b", attributes), "a/b");
    assert.deepEqual([statSync(t.path("a/b")).mode & 0o777, statSync(t.path("a")).uid], [0o750, 5]);
    symlinkSync("/not/yet", t.path("link"));
    assert.equal(mkdirInRoot(native, t.root, "/link/sub", attributes), "not/yet/sub");
    assert.equal(mkdirInRoot(native, t.root, "../../etc", attributes), "etc");
    assert.equal(statSync(t.path("etc")).uid, 0);
    assert.throws(() => mkdirInRoot(native, t.root, "/etc/hostname", attributes), is("INVALID"));
    assert.throws(() => mkdirInRoot(native, t.root, "/etc/hostname/x", attributes), is("INVALID"));
  });
});

describe("copyTree", () => {
  it("copies all that a file is", async () => {
    using t = temporary();
    using to = temporary();
    execFileSync("sh", ["-ec", `
      mkdir -m 1751 d; echo x > d/x; ln d/x d/y; ln -s /etc d/l; mkfifo d/p; mknod d/n c 1 3; chmod 4711 d/x; chown 7:8 d/x
      truncate -s 40M d/sparse; printf x >> d/sparse; head -c 300000 /dev/zero | tr '\\0' z > d/big; chown 5:6 d; touch -hd @12.000000345 d/l d/big d`], { cwd: t.root });
    native.setXattrSync(t.path("d/big"), "user.a", Buffer.from([0, 255]));
    await copyTree(native, t.root, "/d", to.path("etc"));
    const listing = (dir: string) => execFileSync("sh", ["-c", "find . ! -name hostname -printf '%p %y %m %U:%G %s %n %T@ %l\\n' | sort; cat x big | sha256sum"], { cwd: dir, encoding: "utf8" });
    assert.equal(listing(to.path("etc")), listing(t.path("d")));
    assert.ok(statSync(to.path("etc/sparse")).blocks < 100);
    assert.equal(statSync(to.path("etc/x")).ino, statSync(to.path("etc/y")).ino);
    assert.deepEqual(native.getXattrSync(to.path("etc/big"), "user.a"), Buffer.from([0, 255]));
    assert.equal(readFileSync(to.path("etc/hostname"), "utf8"), "inside");
  });

  it("copies a file, with another name and owner, to a path that it makes", async () => {
    using t = temporary();
    using to = temporary();
    symlinkSync("/made/here", to.path("link"));
    assert.deepEqual(await copyTree(native, t.root, "/etc/hostname", to.root, { toPath: "/link", name: "other", uid: 3, gid: 4 }), { entries: 1, bytes: 6 });
    assert.equal(readFileSync(to.path("made/here/other"), "utf8"), "inside");
    assert.deepEqual([statSync(to.path("made/here/other")).uid, statSync(to.path("made/here")).gid], [3, 4]);
    await assert.rejects(copyTree(native, t.root, "/nowhere", to.root), is("NO_SUCH_PATH"));
  });

  it("can leave the destination's own attributes", async () => {
    using t = temporary();
    using to = temporary();
    mkdirSync(t.path("src"));
    chownSync(t.path("src"), 77, 77);
    writeFileSync(t.path("src/f"), "");
    await copyTree(native, t.root, "/src", to.path("etc"), { keepDest: true });
    assert.equal(statSync(to.path("etc")).uid, 0);
    await copyTree(native, t.root, "/src", to.path("etc"));
    assert.equal(statSync(to.path("etc")).uid, 77);
    assert.deepEqual(readdirSync(to.path("etc")).sort(), ["f", "hostname"]);
  });

  it("copies many files", async () => {
    using t = temporary();
    using to = temporary();
    for (let i = 0; i < 1500; i++) writeFileSync(t.path(`etc/${i}`), i % 20 === 0 ? Buffer.alloc(70_000, i) : `${i}`);
    mkdirSync(to.path("copy"));
    assert.equal((await copyTree(native, t.root, "/etc", to.path("copy"))).entries, 1502);
    execFileSync("diff", ["-r", t.path("etc"), to.path("copy")]);
  });
});

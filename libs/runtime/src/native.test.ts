import assert from "node:assert/strict";
import { closeSync, constants, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { loadNative } from "./native.ts";

const native = loadNative().fs;

function temporary(): Disposable & { path: string; fd: number } {
  const path = mkdtempSync(join(tmpdir(), "gantry-native-"));
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  return {
    path, fd,
    [Symbol.dispose]() {
      closeSync(fd);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

describe("native file system", () => {
  it("tells errors as Node does", () => {
    using dir = temporary();
    assert.throws(() => native.openat2Sync(dir.fd, "nowhere", constants.O_RDONLY, 0, "beneath"), { code: "ENOENT", errno: -2, syscall: "openat2", path: "nowhere" });
    assert.throws(() => native.mkdiratSync(dir.fd, "x".repeat(5000), 0o755), { code: "ENAMETOOLONG" });
    assert.throws(() => native.mkdiratSync(dir.fd, "nul\0", 0o755), { code: "EINVAL" });
    assert.throws(() => native.mkdiratSync(dir.fd, 1 as never, 0o755), TypeError);
    assert.throws(() => (native.mkdiratSync as () => void)(), TypeError);
    assert.throws(() => native.openat2Sync(dir.fd, ".", 0, 0, "anyhow" as never), TypeError);
  });

  it("opens beneath a directory only", () => {
    using dir = temporary();
    mkdirSync(join(dir.path, "sub"));
    writeFileSync(join(dir.path, "file"), "inside");
    symlinkSync("/file", join(dir.path, "absolute"));
    symlinkSync("../file", join(dir.path, "sub/up"));
    const sub = native.openat2Sync(dir.fd, "sub", constants.O_RDONLY | constants.O_DIRECTORY, 0, "beneath");
    try {
      assert.throws(() => native.openat2Sync(dir.fd, "absolute", 0, 0, "beneath"), { code: "EXDEV" });
      assert.throws(() => native.openat2Sync(sub, "up", 0, 0, "beneath"), { code: "EXDEV" });
      assert.throws(() => native.openat2Sync(dir.fd, "../x", 0, 0, "beneath"), { code: "EXDEV" });
      const fd = native.openat2Sync(dir.fd, "absolute", 0, 0, "in-root");
      assert.equal(readFileSync(fd, "utf8"), "inside");
      closeSync(fd);
    } finally {
      closeSync(sub);
    }
  });

  it("takes names that are not text", () => {
    using dir = temporary();
    const name = Buffer.from([0xff, 0xfe]);
    native.symlinkatSync(Buffer.from([0xe4]), dir.fd, name);
    assert.equal(native.readlinkatSync(dir.fd, name, "latin1"), "\xe4");
    assert.deepEqual(readdirSync(dir.path, { encoding: "buffer" }), [name]);
  });

  it("sets attributes of the thing itself, links included", () => {
    using dir = temporary();
    writeFileSync(join(dir.path, "file"), "");
    native.symlinkatSync("file", dir.fd, "link");
    native.fchownatSync(dir.fd, "link", 5, 6);
    native.utimensatSync(dir.fd, "link", 1n, -1n);
    native.fchmodatSync(dir.fd, "file", 0o4751);
    assert.throws(() => native.fchmodatSync(dir.fd, "link", 0o777), { code: "ENOTSUP" });
    const { uid, gid, mtimeNs } = native.fstatatSync(dir.fd, "link");
    assert.deepEqual([uid, gid, mtimeNs], [5, 6, -1n]);
    assert.equal(native.fstatatSync(dir.fd, "file").mode, 0o104751);
    assert.equal(lstatSync(join(dir.path, "file")).uid, 0);
  });

  it("waits for a lock, without a thread of libuv's", async () => {
    using dir = temporary();
    const open = () => openSync(join(dir.path, "lock"), "w");
    const held = open();
    await native.flock(held, true);
    const order: string[] = [];
    const waiters = Array.from({ length: 12 }, async () => {
      const fd = open();
      await native.flock(fd, true);
      order.push("locked");
      closeSync(fd);
    });
    // All of libuv's threads are free: this needs one.
    await native.syncfs(dir.fd);
    order.push("released");
    closeSync(held);
    await Promise.all(waiters);
    assert.deepEqual(order, ["released", ...Array.from({ length: 12 }, () => "locked")]);
  });

  it("lets many share a lock", async () => {
    using dir = temporary();
    const fds = [1, 2, 3].map(() => openSync(join(dir.path, "lock"), "w"));
    await Promise.all(fds.map((fd) => native.flock(fd, false)));
    for (const fd of fds) closeSync(fd);
  });

  it("finds data amid holes", () => {
    using dir = temporary();
    const fd = openSync(join(dir.path, "file"), "w+");
    try {
      assert.deepEqual(native.dataRangesSync(fd, 0), []);
      native.openat2Sync(dir.fd, "file", constants.O_RDONLY, 0, "beneath");
      writeFileSync(fd, "x");
      assert.deepEqual(native.dataRangesSync(fd, 1), [{ offset: 0, length: 1 }]);
    } finally {
      closeSync(fd);
    }
  });

  it("removes trees of any depth, and what links point at stays", async () => {
    using dir = temporary();
    writeFileSync(join(dir.path, "victim"), "");
    mkdirSync(join(dir.path, "tree"));
    symlinkSync("../victim", join(dir.path, "tree/link"));
    symlinkSync("..", join(dir.path, "tree/dirlink"));
    let at = openSync(join(dir.path, "tree"), constants.O_RDONLY);
    for (let i = 0; i < 300; i++) {
      native.mkdiratSync(at, "a-directory-deeper-than-any-path", 0o755);
      const next = native.openat2Sync(at, "a-directory-deeper-than-any-path", constants.O_RDONLY, 0, "beneath");
      native.mkdiratSync(next, "beside", 0o755);
      closeSync(at);
      at = next;
    }
    closeSync(at);
    await native.removeTree(dir.fd, "tree");
    await native.removeTree(dir.fd, "tree");
    assert.deepEqual(readdirSync(dir.path), ["victim"]);
  });

  it("refuses malformed operations", async () => {
    using dir = temporary();
    const writer = native.treeWriter(dir.fd);
    const op = (fields: { kind: number; pathLength?: number; extraLength?: number; chunk?: number; offset?: number; length?: number }, path = "") => {
      const bytes = Buffer.alloc(48 + path.length);
      bytes[0] = fields.kind;
      bytes.writeUInt16LE(fields.pathLength ?? path.length, 2);
      bytes.writeUInt32LE(fields.extraLength ?? 0, 4);
      bytes.writeUInt32LE(fields.chunk ?? 0, 20);
      bytes.writeUInt32LE(fields.offset ?? 0, 24);
      bytes.writeUInt32LE(fields.length ?? 0, 28);
      bytes.write(path, 48, "latin1");
      return bytes;
    };
    const file = op({ kind: 2 }, "file");
    file.writeUInt32LE(10, 40);
    const bad: [Buffer, Buffer[]][] = [
      [Buffer.alloc(10), []], [op({ kind: 0 }), []], [op({ kind: 99 }), []], [op({ kind: 1, pathLength: 60_000 }), []],
      [op({ kind: 5, extraLength: 0xffffffff }, "x"), []], [op({ kind: 3 }), []], [op({ kind: 4 }), []],
      [Buffer.concat([file, op({ kind: 3, chunk: 1, length: 1 })]), [Buffer.alloc(5)]],
    ];
    for (const [ops, chunks] of bad) await assert.rejects(native.treeWrite(writer, ops, chunks), { code: "EINVAL" });
    await assert.rejects(native.treeWrite(writer, op({ kind: 3, offset: 6 }), [Buffer.alloc(5)]), { code: "EINVAL" });
    await assert.rejects(native.treeWrite(writer, op({ kind: 3, offset: 4, length: 0xffffffff }), [Buffer.alloc(5)]), { code: "EINVAL" });
    await assert.rejects(native.treeWrite(writer, op({ kind: 3, length: 11 }), [Buffer.alloc(20)]), { code: "EINVAL" });
    native.treeWriterClose(writer);
    assert.throws(() => native.treeWriterClose(writer), TypeError);
    const reader = native.treeReader(dir.fd, 0, true, "");
    assert.throws(() => native.treeWrite(reader as never, Buffer.alloc(0), []), TypeError);
    await assert.rejects(native.treeRead(reader, Buffer.alloc(10)), { code: "EMSGSIZE" });
    native.treeReaderClose(reader);
  });
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { inPieces, listTar, makeTar, type Listed, type Made } from "../test-tar.ts";
import { formatHeader } from "./header.ts";
import { formatTime, parseTime } from "./numbers.ts";
import { formatPax } from "./pax.ts";

const invalid = (e: unknown): boolean => isGantryError(e, "INVALID");

function inDirectory(work: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-tar-"));
  return Promise.resolve(work(dir)).finally(() => rmSync(dir, { recursive: true }));
}

describe("tar", () => {
  const entries: Made[] = [
    { name: "plain", content: "content" },
    { name: "empty", content: "" },
    { name: "block", content: Buffer.alloc(512, 1) },
    { name: `${"d".repeat(90)}/${"f".repeat(90)}`, content: "prefix" },
    { name: `${"long/".repeat(200)}name`, content: "pax" },
    { name: Buffer.from("käse/\xff\xfe", "latin1").toString("latin1"), content: "no UTF-8" },
    { name: "big owner", uid: 3_000_000_000, gid: 0xfffffffe },
    { name: "old", mtimeNs: -1_500_000_000n },
    { name: "fine", mtimeNs: 1_700_000_000_000_000_001n },
    { name: "mode", mode: 0o7777 },
    { type: "symlink", name: "sym", linkName: "x".repeat(300) },
    { type: "link", name: "hard", linkName: "plain" },
    { type: "char", name: "char", major: 5, minor: 1 },
    { type: "block", name: "dev", major: 0xfff, minor: 0xfffff },
    { type: "fifo", name: "fifo" },
    { type: "directory", name: "dir/" },
    { name: "xattr", xattrs: [{ name: "security.capability", value: Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d, 0]) }, { name: "user.empty", value: Buffer.alloc(0) }] },
  ];

  it("reads what it writes, however it is cut", async () => {
    const tar = makeTar(entries);
    const whole = await listTar([tar]);
    for (const [i, entry] of entries.entries()) {
      const { content = "", ...fields } = entry;
      for (const [key, value] of Object.entries(fields)) assert.deepEqual(whole[i]![key as keyof Listed], value, `${entry.name} ${key}`);
      assert.deepEqual(whole[i]!.content, Buffer.from(content));
    }
    for (const size of [1, 7, 511, 513, 4096]) assert.deepEqual(await listTar(inPieces(tar, size)), whole);
  });

  it("is read by GNU tar", () => inDirectory((dir) => {
    writeFileSync(join(dir, "a.tar"), makeTar(entries.filter(({ name }) => !name!.includes("\xff"))));
    const listing = execFileSync("tar", ["-tvf", join(dir, "a.tar"), "--numeric-owner"], { encoding: "utf8" });
    assert.match(listing, /3000000000\/4294967294\s+0 .* big owner/);
    assert.ok(listing.includes(`${"long/".repeat(200)}name`) && listing.includes(`sym -> ${"x".repeat(300)}`) && listing.includes("hard link to plain"));
  }));

  for (const format of ["gnu", "pax", "ustar", "v7"]) {
    it(`reads GNU tar's ${format}`, () => inDirectory(async (dir) => {
      const long = format === "v7" || format === "ustar" ? "name" : "n".repeat(200);
      writeFileSync(join(dir, long), "content");
      execFileSync("ln", ["-s", format === "v7" ? "t" : "t".repeat(90), join(dir, "link")]);
      const tar = execFileSync("tar", ["-C", dir, `--format=${format}`, "--mtime=@1234567890", "--owner=:7", "--group=:8", "--sort=name", "-cf", "-", "link", long], {});
      const listed = await listTar([tar]);
      assert.deepEqual(listed.map(({ type, name, content }) => [type, name, String(content)]), [["symlink", "link", ""], ["file", long, "content"]]);
      assert.deepEqual([listed[1]!.uid, listed[1]!.gid, listed[1]!.mtimeNs], [7, 8, 1_234_567_890_000_000_000n]);
    }));
  }

  it("takes an archive without its end marks, and nothing at all", async () => {
    const tar = makeTar([{ name: "x", content: "y" }]);
    assert.equal((await listTar([tar.subarray(0, 1024)])).length, 1);
    assert.deepEqual(await listTar([]), []);
  });

  it("refuses what is malformed", async () => {
    const good = makeTar([{ name: "x", content: "y".repeat(600) }]);
    const broken = (change: (tar: Buffer) => void): Buffer => {
      const tar = Buffer.from(good);
      change(tar);
      return tar;
    };
    const pax = (records: Map<string, string> | Buffer, typeflag = "x"): Buffer => {
      const bytes = Buffer.isBuffer(records) ? records : formatPax(records);
      return fix(makeTar([{ name: "pax", content: bytes }]).subarray(0, -1024), typeflag);
    };
    const fix = (tar: Buffer, typeflag: string): Buffer => {
      const delta = typeflag.charCodeAt(0) - tar[156]!;
      tar.write(typeflag, 156, "latin1");
      tar.write((Number.parseInt(tar.toString("latin1", 148, 154), 8) + delta).toString(8).padStart(6, "0"), 148, "latin1");
      return tar;
    };
    const file = makeTar([{ name: "x" }]);
    const cases: Record<string, Buffer> = {
      checksum: broken((tar) => tar.write("z", 0)),
      "cut content": good.subarray(0, 700),
      "cut header": good.subarray(0, 300),
      "no octal": broken((tar) => tar.write("9", 124)),
      "pax length": Buffer.concat([pax(Buffer.from("999 path=x\n")), file]),
      "pax without key": Buffer.concat([pax(Buffer.from("7 path\n")), file]),
      "pax size": Buffer.concat([pax(new Map([["size", "-1"]])), file]),
      "pax owner": Buffer.concat([pax(new Map([["uid", "4294967295"]])), file]),
      "pax time": Buffer.concat([pax(new Map([["mtime", "now"]])), file]),
      "pax too large": pax(Buffer.alloc((1 << 20) + 1, 0x20)),
      "pax for nothing": pax(new Map([["path", "x"]])),
      sparse: Buffer.concat([pax(new Map([["GNU.sparse.major", "1"]])), file]),
      "old sparse": fix(makeTar([{ name: "x" }]), "S"),
      "unknown type": fix(makeTar([{ name: "x" }]), "Z"),
    };
    for (const [what, tar] of Object.entries(cases)) await assert.rejects(listTar([tar]), invalid, what);
  });

  it("writes the same bytes for the same entry", () => {
    const entry = { type: "file", name: "é", linkName: "", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 1n, major: 0, minor: 0, xattrs: [] } as const;
    assert.deepEqual(formatHeader(entry), formatHeader(entry));
  });

  it("reads and writes times to the nanosecond", () => {
    for (const ns of [0n, 1n, 999_999_999n, 1_000_000_000n, -1n, -1_000_000_001n, 2n ** 62n]) assert.equal(parseTime(formatTime(ns)), ns);
    assert.equal(parseTime("1.5"), 1_500_000_000n);
    assert.equal(parseTime("1.1234567899"), 1_123_456_789n);
    assert.equal(parseTime("999999999999999999"), 2n ** 63n - 1n);
  });
});

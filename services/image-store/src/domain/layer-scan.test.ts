import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync, linkSync, symlinkSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LayerScan } from "./layer-scan.ts";

let dir: string;
const SPARSE = 3_000_000;
before(() => {
  dir = mkdtempSync(join(tmpdir(), "gantry-layer-scan-"));
  mkdirSync(join(dir, "t", "long".repeat(40)), { recursive: true });
  writeFileSync(join(dir, "t", "a"), "x".repeat(1234));
  writeFileSync(join(dir, "t", "empty"), "");
  writeFileSync(join(dir, "t", "long".repeat(40), "näme".repeat(30)), "y".repeat(513));
  writeFileSync(join(dir, "t", "sparse"), "z".repeat(10));
  truncateSync(join(dir, "t", "sparse"), SPARSE);
  linkSync(join(dir, "t", "a"), join(dir, "t", "hard"));
  symlinkSync("a", join(dir, "t", "soft"));
});
after(() => rmSync(dir, { recursive: true }));

const scan = (data: Uint8Array, piece = data.length) => {
  const it = new LayerScan();
  for (let i = 0; i < data.length; i += piece) it.push(data.subarray(i, i + piece));
  it.end();
  return it.size;
};

test("files' bytes, whatever format GNU tar writes and however the bytes are cut", () => {
  const size = 1234 + 513 + SPARSE;
  for (const options of [["--format=gnu"], ["--format=pax"], ["--format=gnu", "--sparse"], ["--format=pax", "--sparse"], ["--format=pax", "--sparse", "--sparse-version=0.1"]]) {
    const tar = execFileSync("tar", ["-cf", "-", ...options, "-C", dir, "t"], { maxBuffer: 1 << 26 });
    for (const piece of [tar.length, 512, 511, 777, 65_536]) assert.equal(scan(tar, piece), size, `${options.join(" ")} ${piece}`);
  }
});

test("a size beyond octal", () => {
  const header = Buffer.alloc(512);
  header.write("big", 0);
  header[124] = 0x80;
  header.writeBigUInt64BE(1n << 40n, 128);
  header.write("0", 156);
  header.fill(" ", 148, 156);
  header.write(header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0") + "\0 ", 148);
  const it = new LayerScan();
  it.push(header);
  assert.equal(it.size, 2 ** 40);
  assert.throws(() => it.end(), { code: "INVALID" });
});

test("what is no tar, breaks off, or lies", () => {
  const tar = execFileSync("tar", ["-cf", "-", "-C", dir, "t/a"]);
  assert.throws(() => scan(tar.subarray(0, 700)), { code: "INVALID", message: /unexpected end/ });
  assert.throws(() => scan(Buffer.from("hello".repeat(200))), { code: "INVALID" });
  const bent = Buffer.from(tar);
  bent[3]! ^= 1;
  assert.throws(() => scan(bent), { code: "INVALID", message: "invalid tar header" });
  assert.equal(scan(Buffer.alloc(1024)), 0, "an empty archive");
  assert.equal(scan(Buffer.concat([tar, Buffer.from("trailing rubbish")])), 1234, "the end is the end");
});

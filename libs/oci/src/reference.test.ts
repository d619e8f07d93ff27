import assert from "node:assert/strict";
import { test } from "node:test";
import { familiarName, familiarString, fullName, isRepositoryName, parseAnyReference, parseReference, referenceString, withDefaultTag, withTag } from "./reference.ts";

const HEX = "ebf1948b84dcaaa0f8a2849cce6f2548edb8862e2829e3e7d9e4cd5a324fb3b7";

test("references are normalised as Docker does", () => {
  const rows: [text: string, full: string, familiar: string][] = [
    ["redis", "docker.io/library/redis", "redis"],
    ["redis:3.2.11-alpine", "docker.io/library/redis:3.2.11-alpine", "redis:3.2.11-alpine"],
    ["library/redis", "docker.io/library/redis", "redis"],
    ["docker.io/redis", "docker.io/library/redis", "redis"],
    ["index.docker.io/library/redis:1", "docker.io/library/redis:1", "redis:1"],
    ["piehei/base-qt593", "docker.io/piehei/base-qt593", "piehei/base-qt593"],
    ["localhost/x", "localhost/x", "localhost/x"],
    ["localhost:5000/x", "localhost:5000/x", "localhost:5000/x"],
    ["localhost:5000/x/y:z", "localhost:5000/x/y:z", "localhost:5000/x/y:z"],
    ["127.0.0.1:5000/x@sha256:" + HEX, "127.0.0.1:5000/x@sha256:" + HEX, "127.0.0.1:5000/x@sha256:" + HEX],
    [`x:t@sha256:${HEX}`, `docker.io/library/x:t@sha256:${HEX}`, `x:t@sha256:${HEX}`],
    ["[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"],
    ["Registry/x", "Registry/x", "Registry/x"],
    ["a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"],
    ["docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"],
  ];
  for (const [text, full, familiar] of rows) {
    const ref = parseReference(text);
    assert.equal(referenceString(ref), full, text);
    assert.equal(familiarString(ref), familiar, text);
    assert.deepEqual(parseReference(familiarString(ref)), ref, `${text}: the familiar form means the same`);
  }
});

test("errors are Docker's", () => {
  const rows: [text: string, message: string][] = [
    ["", "invalid reference format"],
    ["Foo", "invalid reference format: repository name (library/Foo) must be lowercase"],
    ["localhost:5000/Foo:bar", "invalid reference format: repository name (Foo) must be lowercase"],
    ["foo:", "invalid reference format"],
    ["foo:-x", "invalid reference format"],
    ["foo//bar", "invalid reference format"],
    ["a___b", "invalid reference format"],
    [":latest", "invalid reference format"],
    ["foo@sha256:12", "invalid reference format"],
    [`foo@sha256:${HEX}00`, "invalid reference format: invalid checksum digest length"],
    [`foo@md5:${HEX.slice(0, 32)}`, "invalid reference format: unsupported digest algorithm"],
    [`foo:${"t".repeat(129)}`, "invalid reference format"],
    ["a/".repeat(200) + "b", "repository name must not be more than 255 characters"],
    [HEX, `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`],
    ["foo bar", "invalid reference format"],
    ["foo\nbar", "invalid reference format"],
    ["foo\n", "invalid reference format"],
  ];
  for (const [text, message] of rows) assert.throws(() => parseReference(text), { code: "INVALID", message }, text);
});

test("hostile lengths are answered at once", () => {
  const started = performance.now();
  for (const text of ["a".repeat(1_000_000), "a-".repeat(500), "a.".repeat(510) + "/", "a_".repeat(510) + "!"]) assert.throws(() => parseReference(text));
  assert.ok(performance.now() - started < 500);
});

test("tags, names and IDs", () => {
  assert.equal(familiarString(withDefaultTag(parseReference("x"))), "x:latest");
  assert.equal(familiarString(withDefaultTag(parseReference("x:1"))), "x:1");
  assert.equal(familiarString(withDefaultTag(parseReference(`x@sha256:${HEX}`))), `x@sha256:${HEX}`);
  assert.equal(familiarString(withTag(parseReference("x:1"), "2")), "x:2");
  assert.throws(() => withTag(parseReference("x"), "a b"), { message: "invalid tag format" });
  assert.equal(familiarName(parseReference("localhost:5000/a/b:c")), "localhost:5000/a/b");
  assert.equal(fullName(parseReference("x")), "docker.io/library/x");
  assert.deepEqual(parseAnyReference(HEX), { kind: "id", id: `sha256:${HEX}` });
  assert.deepEqual(parseAnyReference(`sha256:${HEX}`), { kind: "id", id: `sha256:${HEX}` });
  assert.equal(parseAnyReference("68ea2e469580").kind, "named");
  assert.ok(isRepositoryName("library/x") && !isRepositoryName("../x") && !isRepositoryName("x/") && !isRepositoryName("X"));
});

test("whatever parses, parses again from its full form to the same", () => {
  const alphabet = ["a", "b0", "-", "_", ".", "/", ":", "@", "X", "localhost", "docker.io", "library", "latest", `sha256:${HEX}`, "5000"];
  let seed = 42, parsed = 0;
  const random = (n: number) => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return (seed >> 8) % n; };
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: 1 + random(7) }, () => alphabet[random(alphabet.length)]).join("");
    let ref;
    try { ref = parseReference(text); } catch { continue; }
    parsed++;
    assert.deepEqual(parseReference(referenceString(ref)), ref, text);
    assert.deepEqual(parseReference(familiarString(ref)), ref, text);
  }
  assert.ok(parsed > 500, `${parsed} parsed`);
});

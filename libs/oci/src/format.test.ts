import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalJson, imageConfigText } from "./config.ts";
import { chainIds, digestOf } from "./digest.ts";
import { compressionOf, MediaType, sniffCompression } from "./media-types.ts";
import { parseImageConfig, parseManifest } from "./parse.ts";
import { formatPlatform, hostPlatform, parsePlatform, platformMatches, selectManifest } from "./platform.ts";

const A = `sha256:${"a".repeat(64)}`;
const B = `sha256:${"b".repeat(64)}`;

test("chain IDs", () => {
  assert.deepEqual(chainIds([]), []);
  assert.deepEqual(chainIds([A]), [A]);
  assert.deepEqual(chainIds([A, B]), [A, digestOf(`${A} ${B}`)]);
  // Known from the specification's formula, computed with coreutils' sha256sum.
  assert.equal(digestOf("hello"), "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
});

test("a config's text does not depend on the order its fields were set in", () => {
  const one = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [A] }, config: { Env: ["B=1", "A=2"], Cmd: ["sh"], User: undefined as never } };
  const two = { config: { Cmd: ["sh"], Env: ["B=1", "A=2"] }, rootfs: { diff_ids: [A], type: "layers" }, architecture: "amd64", os: "linux" };
  assert.equal(imageConfigText(one), imageConfigText(two));
  assert.equal(imageConfigText(two), `{"architecture":"amd64","config":{"Cmd":["sh"],"Env":["B=1","A=2"]},"os":"linux","rootfs":{"diff_ids":["${A}"],"type":"layers"}}`);
  assert.deepEqual(parseImageConfig(imageConfigText(two)), two);
  assert.equal(canonicalJson(JSON.parse('{"b":1,"__proto__":{"z":1,"a":2}}')), '{"__proto__":{"a":2,"z":1},"b":1}');
});

test("configs as Docker writes them, with nulls", () => {
  const config = parseImageConfig(`{"architecture":"amd64","config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"Env":["PATH=/bin"],"Cmd":["bash"],"ArgsEscaped":true,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"created":"2019-08-14T00:25:03.2Z","docker_version":"18.06.1-ce","history":[{"created":"2019-08-14T00:25:03Z","created_by":"/bin/sh -c #(nop) ADD file:1 in / "},{"created":"2019-08-14T00:25:03Z","created_by":"/bin/sh -c #(nop)  CMD [\\"bash\\"]","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":["${A}"]}}`);
  assert.deepEqual(config.config?.Cmd, ["bash"]);
  assert.throws(() => parseImageConfig("{}"), { code: "INVALID", message: /^invalid image config: / });
  assert.throws(() => parseImageConfig('{"architecture":"a","os":"linux","rootfs":{"type":"layers","diff_ids":["../../x"]}}'), { code: "INVALID" });
  assert.throws(() => parseImageConfig("x".repeat(5_000_000)), { code: "TOO_LARGE" });
});

test("manifests and indexes", () => {
  const layer = { mediaType: MediaType.ociLayerGzip, digest: B, size: 2 };
  const manifest = { schemaVersion: 2, mediaType: MediaType.dockerManifest, config: { mediaType: MediaType.dockerConfig, digest: A, size: 1 }, layers: [layer] };
  assert.equal(parseManifest(JSON.stringify(manifest)).kind, "manifest");
  assert.equal(parseManifest(JSON.stringify({ ...manifest, mediaType: undefined })).mediaType, MediaType.ociManifest);
  assert.equal(parseManifest(JSON.stringify({ schemaVersion: 2, manifests: [] })).kind, "index");
  assert.equal(parseManifest(Buffer.from(JSON.stringify(manifest)), `${MediaType.dockerManifest}; charset=utf-8`).mediaType, MediaType.dockerManifest);
  for (const [text, type] of [
    [JSON.stringify(manifest), MediaType.ociIndex],
    [JSON.stringify({ ...manifest, mediaType: undefined, manifests: [] }), undefined],
    ['{"schemaVersion":1}', undefined], ["[]", undefined], ["null", undefined], ["{", undefined],
    [JSON.stringify({ ...manifest, layers: [{ ...layer, size: -1 }] }), undefined],
  ] as const) assert.throws(() => parseManifest(text, type), { code: "INVALID" }, text);
});

test("platforms", () => {
  const of = (text: string) => parsePlatform(text)!;
  assert.equal(formatPlatform(of("linux/aarch64")), "linux/arm64");
  assert.equal(formatPlatform(of("linux/arm")), "linux/arm/v7");
  assert.equal(parsePlatform(""), null);
  assert.equal(of("linux").architecture, hostPlatform().architecture);
  assert.throws(() => parsePlatform("a/b/c/d"), { code: "INVALID" });
  assert.ok(platformMatches(of("linux/arm/v7"), { os: "linux", architecture: "arm", variant: "v6" }));
  assert.ok(!platformMatches(of("linux/arm/v6"), { os: "linux", architecture: "arm", variant: "v7" }));
  assert.ok(platformMatches(of("linux/arm64"), { os: "linux", architecture: "arm64", variant: "v8" }));
  const list = [["arm", "v6"], ["arm", "v7"], ["amd64", undefined], ["amd64", "v3"]].map(([architecture, variant], i) =>
    ({ mediaType: MediaType.ociManifest, digest: `sha256:${String(i).repeat(64)}`, size: 1, platform: { os: "linux", architecture: architecture!, ...(variant === undefined ? {} : { variant }) } }));
  assert.equal(selectManifest(list, of("linux/arm/v7")), list[1]);
  assert.equal(selectManifest(list, of("linux/arm/v8")), list[1]);
  assert.equal(selectManifest(list, of("linux/amd64")), list[2]);
  assert.equal(selectManifest(list, of("linux/amd64/v2")), list[2]);
  assert.equal(selectManifest(list, of("linux/s390x")), null);
});

test("compression by media type and by first bytes", () => {
  assert.equal(compressionOf(MediaType.dockerLayerGzip), "gzip");
  assert.equal(compressionOf(MediaType.ociLayer), "none");
  assert.equal(compressionOf("text/plain"), null);
  assert.equal(sniffCompression(Buffer.from([0x1f, 0x8b, 8, 0])), "gzip");
  assert.equal(sniffCompression(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])), "zstd");
  assert.equal(sniffCompression(Buffer.alloc(0)), "none");
});

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { imageInspect, imageList, imageRemove, imageResolve } from "@gantry/contracts";
import { systemClock } from "@gantry/kernel";
import { digestOf, imageConfigText, MediaType } from "@gantry/oci";
import { RegistryClient } from "@gantry/registry-client";
import { request } from "undici";
import { startStore, type TestStore } from "../../testing/harness.ts";
import { buildStep, tarOf } from "../../testing/images.ts";

const run = promisify(execFile);
const clientOf = (store: TestStore, password?: string) => new RegistryClient({
  endpoint: { url: new URL(store.url), insecure: false }, credentials: password === undefined ? null : { username: "u", password }, clock: systemClock,
});
const blobOf = (data: Buffer) => ({ digest: digestOf(data), size: data.length });
async function* whole(data: Buffer) { yield data; }
const push = (client: RegistryClient, repo: string, data: Buffer) => client.pushBlob(repo, blobOf(data), () => whole(data));

/** An image as a registry client has it: config, manifest, layer blobs. */
async function sample(compress: (tar: Buffer) => Buffer = gzipSync, mediaType: string = MediaType.ociLayerGzip) {
  const tar = await tarOf({ "bin/sh": "x".repeat(5000), "etc/passwd": "root:x:0:0" });
  const layer = compress(tar);
  const config = Buffer.from(imageConfigText({ architecture: "amd64", os: "linux", created: "2026-01-01T00:00:00Z", config: { Cmd: ["sh"] }, rootfs: { type: "layers", diff_ids: [digestOf(tar)] }, history: [{ created_by: "ADD" }] }));
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType: MediaType.ociManifest, config: { mediaType: MediaType.ociConfig, ...blobOf(config) }, layers: [{ mediaType, ...blobOf(layer) }],
  }));
  return { tar, layer, config, manifest, size: 5010 };
}

async function pushSample(client: RegistryClient, repo: string, tag: string, image: Awaited<ReturnType<typeof sample>>) {
  await push(client, repo, image.layer);
  await push(client, repo, image.config);
  return client.putManifest(repo, tag, { mediaType: MediaType.ociManifest, bytes: image.manifest });
}

test("an image pushed by tag is a local image of that name, with the size of its files", async () => {
  await using store = await startStore();
  await using client = clientOf(store);
  for (const [tag, image] of [["gzip", await sample()], ["zstd", await sample(zstdCompressSync, MediaType.ociLayerZstd)], ["plain", await sample((tar) => tar, MediaType.ociLayer)]] as const) {
    const digest = await pushSample(client, "team/app", tag, image);
    const found = await store.bus.call(imageResolve, { ref: `team/app:${tag}` });
    assert.equal(found.id, digestOf(image.config));
    assert.equal(found.size, image.size);
    assert.equal(found.layers[0]!.diffId, digestOf(image.tar));
    const answer = await client.manifest("team/app", tag);
    assert.deepEqual([answer.digest, answer.bytes], [digest, image.manifest]);
    assert.equal((await client.manifest("team/app", digest)).digest, digest);
  }
  const { image } = await store.bus.call(imageInspect, { ref: "team/app:gzip" });
  assert.equal((image["RepoDigests"] as string[]).length, 3);
  assert.deepEqual(await client.tags("team/app"), ["gzip", "plain", "zstd"]);
  await store.restart();
  assert.deepEqual(await buffer(client.blob("team/app", blobOf((await sample()).config))), (await sample()).config);
});

test("local images can be pulled: a manifest is made, stays the same, and is found by its digest", async () => {
  await using store = await startStore();
  await using client = clientOf(store);
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["pinger", "localhost:5000/pinger"] });
  const first = await client.manifest("pinger", "latest");
  assert.equal(first.parsed.kind === "manifest" && first.parsed.manifest.config.digest, base.id);
  assert.deepEqual((await client.manifest("library/pinger", first.digest)).bytes, first.bytes);
  const config = await client.blobBytes("pinger", { digest: base.id, size: Buffer.byteLength(imageConfigText(base.config)) }, 1e6);
  assert.equal(config.toString(), imageConfigText(base.config));
  await store.restart();
  assert.equal((await client.manifest("pinger", "latest")).digest, first.digest);
  await assert.rejects(client.manifest("pinger", "nope"), { code: "REGISTRY", message: /^manifest unknown: / });
  await assert.rejects(client.manifest("other", "latest"), { code: "REGISTRY", message: /^name unknown: / });
  const { body } = await request(`${store.url}/v2/_catalog`);
  assert.deepEqual(await body.json(), { repositories: ["pinger"] });
});

test("manifests that do not hold together are refused", async () => {
  await using store = await startStore();
  await using client = clientOf(store);
  const image = await sample();
  const put = (bytes: Buffer, tag = "t") => client.putManifest("x", tag, { mediaType: MediaType.ociManifest, bytes });
  const refused = (reason: string) => (e: unknown) => { assert.match(String((e as Error).message), new RegExp(`^${reason}`)); return true; };
  await assert.rejects(put(image.manifest), refused("manifest blob unknown"));
  await push(client, "x", image.layer);
  const other = Buffer.from(image.config.toString().replace(digestOf(image.tar), digestOf("something else")));
  await push(client, "x", other);
  await assert.rejects(put(Buffer.from(image.manifest.toString().replace(digestOf(image.config), digestOf(other)))), refused("manifest invalid"));
  await assert.rejects(put(Buffer.from("{}")), refused("manifest invalid"));
  await push(client, "x", image.config);
  await assert.rejects(put(image.manifest, digestOf("another")), refused("digest invalid"));
  await assert.rejects(put(Buffer.from(image.manifest.toString().replace(`"size":${image.layer.length}`, '"size":7'))), refused("size invalid"));
  assert.deepEqual((await store.bus.call(imageList, { all: true, filters: {}, digests: false })).images, []);
});

test("an index keeps all its platforms; the local image is this host's", async () => {
  await using store = await startStore();
  await using client = clientOf(store);
  const image = await sample();
  const here = await pushSample(client, "multi", digestOf(image.manifest), image);
  assert.deepEqual((await store.bus.call(imageList, { all: true, filters: {}, digests: false })).images, [], "a push by digest alone names no image");
  const foreignConfig = Buffer.from(image.config.toString().replace('"amd64"', '"s390x"'));
  await push(client, "multi", foreignConfig);
  const foreign = Buffer.from(image.manifest.toString().replace(digestOf(image.config), digestOf(foreignConfig)));
  const there = await client.putManifest("multi", digestOf(foreign), { mediaType: MediaType.ociManifest, bytes: foreign });
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [
    { mediaType: MediaType.ociManifest, digest: there, size: foreign.length, platform: { os: "linux", architecture: "s390x" } },
    { mediaType: MediaType.ociManifest, digest: here, size: image.manifest.length, platform: { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" } },
  ] }));
  const digest = await client.putManifest("multi", "1", { mediaType: MediaType.ociIndex, bytes: index });
  const found = await store.bus.call(imageResolve, { ref: "multi:1" });
  assert.deepEqual([found.id, found.repoDigests], [digestOf(image.config), [`multi@${digest}`]]);
  assert.equal((await client.manifest("multi", "1")).digest, digest);
  const old = await request(`${store.url}/v2/multi/manifests/1`, { headers: { accept: MediaType.ociManifest } });
  assert.equal(old.headers["docker-content-digest"], here);
  await old.body.dump();
  await store.bus.call(imageRemove, { ref: "multi:1", force: false, prune: true });
  for (const reference of ["1", digest]) assert.equal(await client.manifestDigest("multi", reference), null, reference);
});

test("artifacts and referrers", async () => {
  await using store = await startStore();
  await using client = clientOf(store);
  const image = await sample();
  const subject = await pushSample(client, "art", "1", image);
  const empty = Buffer.from("{}");
  await push(client, "art", empty);
  const bytes = Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: "application/x-sbom", config: { mediaType: MediaType.ociEmpty, ...blobOf(empty) },
    layers: [{ mediaType: MediaType.ociEmpty, ...blobOf(empty) }], subject: { mediaType: MediaType.ociManifest, digest: subject, size: image.manifest.length }, annotations: { a: "b" },
  }));
  const digest = await client.putManifest("art", digestOf(bytes), { mediaType: MediaType.ociManifest, bytes });
  const referrers = async (query = "") => ((await (await request(`${store.url}/v2/art/referrers/${subject}${query}`)).body.json()) as { manifests: unknown[] }).manifests;
  assert.deepEqual(await referrers(), [{ mediaType: MediaType.ociManifest, digest, size: bytes.length, artifactType: "application/x-sbom", annotations: { a: "b" } }]);
  assert.deepEqual(await referrers("?artifactType=other"), []);
  await client.deleteManifest("art", digest);
  assert.deepEqual(await referrers(), []);
});

test("tags and repositories come in pages", async () => {
  await using store = await startStore();
  await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["p:a", "p:b", "p:c", "q", "r/s"] });
  const page = async (path: string) => {
    const { headers, body } = await request(store.url + path);
    return [await body.json(), headers["link"]];
  };
  assert.deepEqual(await page("/v2/p/tags/list?n=2"), [{ name: "p", tags: ["a", "b"] }, '</v2/p/tags/list?last=b&n=2>; rel="next"']);
  assert.deepEqual(await page("/v2/p/tags/list?n=2&last=b"), [{ name: "p", tags: ["c"] }, undefined]);
  assert.deepEqual(await page("/v2/_catalog?n=2"), [{ repositories: ["p", "q"] }, '</v2/_catalog?last=q&n=2>; rel="next"']);
});

test("uploads: in parts, resumed after a break, wrong digests, cancelled; nothing is left of those that fail", async () => {
  await using store = await startStore();
  const data = randomBytes(200_000);
  const send = async (method: "POST" | "PUT" | "PATCH" | "GET" | "DELETE", path: string, body: Buffer | null = null, headers: Record<string, string> = {}) => {
    const answer = await request(new URL(path, store.url), { method, body, headers });
    return { status: answer.statusCode, location: String(answer.headers["location"] ?? ""), range: answer.headers["range"], text: await answer.body.text() };
  };
  const begun = await send("POST", "/v2/up/blobs/uploads/");
  assert.deepEqual([begun.status, begun.range], [202, "0-0"]);
  const first = await send("PATCH", begun.location, data.subarray(0, 50_000), { "content-range": "0-49999" });
  assert.deepEqual([first.status, first.range], [202, "0-49999"]);
  const wrong = await send("PATCH", begun.location, data.subarray(10), { "content-range": "10-20" });
  assert.deepEqual([wrong.status, wrong.range, JSON.parse(wrong.text).errors[0].code], [416, "0-49999", "RANGE_INVALID"]);
  // A client that dies in the middle of a part.
  const [host, port] = store.address.split(":");
  const socket = connect(Number(port), host);
  await once(socket, "connect");
  socket.write(`PATCH ${begun.location} HTTP/1.1\r\nhost: ${store.address}\r\ncontent-length: 150000\r\n\r\n`);
  socket.write(data.subarray(50_000, 110_000));
  let at = 0;
  while (at < 110_000) at = 1 + Number(String((await send("GET", begun.location)).range).split("-")[1]);
  socket.destroy();
  let last = { status: 409 } as Awaited<ReturnType<typeof send>>;
  while (last.status === 409) last = await send("PUT", `${begun.location}?digest=${digestOf(data)}`, data.subarray(110_000));
  assert.equal(last.status, 201);
  assert.equal((await store.content.stat(digestOf(data)))?.size, data.length);

  const other = await send("POST", "/v2/up/blobs/uploads/");
  const bad = await send("PUT", `${other.location}?digest=${digestOf("what was promised")}`, Buffer.from("what came"));
  assert.deepEqual([bad.status, JSON.parse(bad.text).errors[0].code], [400, "DIGEST_INVALID"]);
  assert.equal((await send("GET", other.location)).status, 404);
  const cancelled = await send("POST", "/v2/up/blobs/uploads/");
  await send("PATCH", cancelled.location, Buffer.from("half"));
  assert.equal((await send("DELETE", cancelled.location)).status, 204);
  assert.equal((await send("PATCH", cancelled.location, Buffer.from("more"))).status, 404);
  assert.equal((await send("POST", `/v2/up/blobs/uploads/?digest=${digestOf("one go")}`, Buffer.from("one go"))).status, 201);
  assert.equal((await send("POST", `/v2/elsewhere/blobs/uploads/?mount=${digestOf("one go")}&from=up`)).status, 201);
  assert.equal((await send("POST", `/v2/UP/blobs/uploads/`)).status, 400);
  assert.equal((await send("GET", "/v2/x/../../etc/blobs/y")).status, 404);
  await store.content.list().next();
  const { readdir } = await import("node:fs/promises");
  assert.deepEqual(await readdir(join(store.dir, "blobs/ingest")), []);
});

test("skopeo copies in and out, and digests stay", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base"] });
  const image = await sample();
  await using client = clientOf(store);
  const pushed = await pushSample(client, "src", "1", image);
  const flags = ["--src-tls-verify=false", "--dest-tls-verify=false"];
  await run("skopeo", ["copy", "--src-tls-verify=false", "--dest-oci-accept-uncompressed-layers", `docker://${store.address}/base`, `oci:${store.dir}/layout:base`]);
  const index = JSON.parse(await readFile(join(store.dir, "layout/index.json"), "utf8")) as { manifests: { digest: string }[] };
  assert.equal(index.manifests[0]!.digest, await client.manifestDigest("base", "latest"));
  await run("skopeo", ["copy", ...flags, "--preserve-digests", `docker://${store.address}/src:1`, `docker://${store.address}/copy/of/src:2`]);
  assert.equal(await client.manifestDigest("copy/of/src", "2"), pushed);
  await run("skopeo", ["copy", "--dest-tls-verify=false", "--preserve-digests", `oci:${store.dir}/layout:base`, `docker://${store.address}/back`]);
  assert.equal((await store.bus.call(imageResolve, { ref: "back" })).id, base.id);
  await run("skopeo", ["copy", "--dest-tls-verify=false", "--format=v2s2", `oci:${store.dir}/layout:base`, `docker://${store.address}/docker`]);
  assert.equal((await store.bus.call(imageResolve, { ref: "docker" })).id.length, 71);
  const { stdout } = await run("skopeo", ["inspect", "--tls-verify=false", `docker://${store.address}/copy/of/src:2`]);
  assert.equal((JSON.parse(stdout) as { Digest: string }).Digest, pushed);
});

test("with a token, TCP wants it: as a bearer or as a password", async () => {
  await using store = await startStore({ config: { token: "s3cret" } });
  const status = async (authorization?: string) => {
    const answer = await request(`${store.url}/v2/`, { headers: authorization === undefined ? {} : { authorization } });
    await answer.body.dump();
    return answer.statusCode;
  };
  assert.deepEqual([await status(), await status("Bearer wrong"), await status("Bearer s3cret"), await status(`Basic ${Buffer.from("x:s3cret").toString("base64")}`)], [401, 401, 200, 200]);
  await using client = clientOf(store, "s3cret");
  await pushSample(client, "a", "1", await sample());
  await assert.rejects(clientOf(store, "no").ping(), { code: "UNAUTHORIZED", message: "unauthorized: authentication required" });
  await writeFile(join(store.dir, "auth.json"), JSON.stringify({ auths: { [store.address]: { auth: Buffer.from("x:s3cret").toString("base64") } } }));
  await run("skopeo", ["inspect", "--tls-verify=false", `--authfile=${store.dir}/auth.json`, `docker://${store.address}/a:1`]);
});

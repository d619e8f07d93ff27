import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { buffer } from "node:stream/consumers";
import { systemClock } from "@gantry/kernel";
import { digestOf, MediaType } from "@gantry/oci";
import { parseChallenges } from "./challenge.ts";
import { connectRegistry, registryFault, RegistryClient, type Credentials } from "./index.ts";
import { startDockerRegistry, type TestRegistry } from "./testing/docker-registry.ts";
import { startProxy } from "./testing/proxy.ts";

let registry: TestRegistry;
before(async () => { registry = await startDockerRegistry(); });
after(async () => { await registry[Symbol.asyncDispose](); });

const policy = { insecure: [], endpoints: {} };
const client = (address: string, credentials: Credentials | null = null) =>
  new RegistryClient({ endpoint: { url: new URL(`http://${address}`), insecure: false }, credentials, clock: systemClock });
const blobOf = (data: Buffer) => ({ digest: digestOf(data), size: data.length });
async function* pieces(data: Buffer, size = 10_000) { for (let i = 0; i < data.length; i += size) yield data.subarray(i, i + size); }
const push = (to: RegistryClient, repo: string, data: Buffer) => to.pushBlob(repo, blobOf(data), (offset) => pieces(data.subarray(offset)));

test("challenges", () => {
  const of = (text: string) => parseChallenges(text).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
  assert.deepEqual(of('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'), [["bearer", { realm: "https://a/t", service: "s", scope: "repository:x:pull,push" }]]);
  assert.deepEqual(of('Basic realm="a \\"b\\"", Bearer realm=x'), [["basic", { realm: 'a "b"' }], ["bearer", { realm: "x" }]]);
  assert.deepEqual(of("Negotiate"), [["negotiate", {}]]);
  for (const bad of ["", ",,,", '="', 'Bearer realm="', "a=b"]) assert.ok(of(bad).length <= 1, bad);
});

test("blobs go up whole, in pieces, as a stream of unknown digest, and by mount; and come down verified", async () => {
  await using to = await connectRegistry(registry.address, { credentials: null, policy, clock: systemClock });
  const data = randomBytes(300_000);
  const blob = blobOf(data);
  assert.equal(await to.blobSize("team/a", blob.digest), null);
  const progress: number[] = [];
  assert.equal(await to.pushBlob("team/a", blob, (offset) => pieces(data.subarray(offset)), { onProgress: (bytes) => progress.push(bytes) }), "pushed");
  assert.equal(progress.at(-1), data.length);
  assert.equal(await to.blobSize("team/a", blob.digest), data.length);
  assert.deepEqual(await buffer(to.blob("team/a", blob)), data);
  assert.equal(await to.pushBlob("team/b", blob, () => { throw new Error("not needed"); }, { mountFrom: ["team/a"] }), "mounted");
  assert.equal(await to.pushBlob("team/c", blob, (offset) => pieces(data.subarray(offset)), { chunkBytes: 70_000, mountFrom: ["team/nothing"] }), "pushed");
  const streamed = await to.pushStream("team/d", () => pieces(data));
  assert.deepEqual(streamed, blob);
  for (const repo of ["team/b", "team/c", "team/d"]) assert.equal(await to.blobSize(repo, blob.digest), data.length, repo);
  const empty = Buffer.alloc(0);
  await push(to, "team/a", empty);
  assert.equal(await to.blobSize("team/a", digestOf(empty)), 0);
});

test("manifests, indexes, tags", async () => {
  await using to = client(registry.address);
  const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
  await push(to, "m", config);
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.dockerManifest, config: { mediaType: MediaType.dockerConfig, ...blobOf(config) }, layers: [] }));
  const digest = await to.putManifest("m", "1", { mediaType: MediaType.dockerManifest, bytes: manifest });
  assert.equal(digest, digestOf(manifest));
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [{ mediaType: MediaType.dockerManifest, digest, size: manifest.length, platform: { os: "linux", architecture: "amd64" } }] }));
  await to.putManifest("m", "multi", { mediaType: MediaType.ociIndex, bytes: index });
  const answer = await to.manifest("m", "1");
  assert.deepEqual([answer.digest, answer.mediaType, answer.bytes], [digest, MediaType.dockerManifest, manifest]);
  assert.equal((await to.manifest("m", "multi")).parsed.kind, "index");
  assert.equal(await to.manifestDigest("m", "1"), digest);
  assert.equal(await to.manifestDigest("m", "none"), null);
  assert.deepEqual((await to.tags("m")).sort(), ["1", "multi"]);
  await assert.rejects(to.manifest("m", "none"), (e) => {
    assert.deepEqual([registryFault(e)?.status, registryFault(e)?.reason], [404, "manifest unknown"]);
    return true;
  });
  await to.deleteManifest("m", digest);
  assert.equal(await to.manifestDigest("m", "1"), null);
});

test("a broken download goes on where it broke; wrong bytes are never whole", async () => {
  const data = randomBytes(900_000);
  await using direct = client(registry.address);
  await push(direct, "r", data);
  let cuts = 3;
  {
    await using proxy = await startProxy(registry.address, (incoming) => {
      if (!incoming.url!.includes("/blobs/") || cuts === 0) return false;
      cuts--;
      let passed = 0;
      return (chunk, response) => {
        passed += chunk.length;
        if (passed < 150_000) return chunk;
        response.destroy();
        return null;
      };
    });
    await using through = client(proxy.address);
    assert.deepEqual(await buffer(through.blob("r", blobOf(data))), data);
    const ranges = proxy.requests.filter((request) => request.url.includes("/blobs/")).map((request) => request.headers.range);
    assert.equal(ranges.length, 4, String(ranges));
    assert.match(String(ranges), /bytes=[1-9]\d*-/);
  }
  await using proxy = await startProxy(registry.address, (incoming) => (incoming.url!.includes("/blobs/") ? (chunk) => { chunk[0]! ^= 1; return chunk; } : false));
  await using through = client(proxy.address);
  await assert.rejects(buffer(through.blob("r", blobOf(data))), { code: "DIGEST_MISMATCH" });
  await assert.rejects(buffer(direct.blob("r", { digest: digestOf(data), size: data.length - 1 })), { code: "DIGEST_MISMATCH" });
});

test("bearer tokens: fetched on demand with the credentials, per scope, and sent to nobody else", async () => {
  const tokens: string[] = [];
  await using proxy = await startProxy(registry.address, (incoming, response) => {
    const url = new URL(incoming.url!, "http://x");
    if (url.pathname === "/token") {
      assert.equal(incoming.headers.authorization, `Basic ${Buffer.from("me:secret").toString("base64")}`);
      tokens.push(url.searchParams.getAll("scope").join(" "));
      response.end(JSON.stringify({ token: `t-${url.searchParams.getAll("scope").join("+")}`, expires_in: 300 }));
      return true;
    }
    if (url.pathname === "/v2/") { response.end("{}"); return true; }
    const wanted = url.pathname.includes("/uploads/") ? "t-repository:auth/x:pull,push" : null;
    const shown = incoming.headers.authorization;
    if (shown === undefined || !shown.startsWith("Bearer t-repository:auth/x") || (wanted !== null && shown !== `Bearer ${wanted}`)) {
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${incoming.headers.host}/token",service="test",scope="ignored"` });
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return true;
    }
    return false;
  });
  const data = Buffer.from("with a token");
  await using to = client(proxy.address, { username: "me", password: "secret" });
  await push(to, "auth/x", data);
  await push(to, "auth/x", Buffer.from("again"));
  assert.deepEqual(await buffer(to.blob("auth/x", blobOf(data))), data);
  assert.deepEqual(tokens, ["repository:auth/x:pull,push", "repository:auth/x:pull"]);
});

test("transient errors are tried again, refusals are not", async () => {
  let left = 2;
  await using proxy = await startProxy(registry.address, (incoming, response) => {
    if (incoming.url!.includes("/denied/")) {
      response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}');
      return true;
    }
    if (left === 0) return false;
    left--;
    response.writeHead(503).end();
    return true;
  });
  await using to = client(proxy.address);
  await to.ping();
  assert.equal(proxy.requests.length, 3);
  await assert.rejects(to.manifest("denied/x", "1"), { code: "UNAUTHORIZED", message: "denied: requested access to the resource is denied" });
  assert.equal(proxy.requests.length, 4);
});

test("an upload cut in the middle is begun again", async () => {
  let cut = true;
  await using proxy = await startProxy(registry.address, (incoming) => {
    if (incoming.method !== "PUT" || !cut) return false;
    cut = false;
    incoming.once("data", () => incoming.destroy());
    return false;
  });
  await using to = client(proxy.address);
  const data = randomBytes(2_000_000);
  await push(to, "cut", data);
  assert.equal(await to.blobSize("cut", digestOf(data)), data.length);
});

test("nobody there", async () => {
  await assert.rejects(connectRegistry("127.0.0.1:1", { credentials: null, policy, clock: { ...systemClock, sleep: async () => {} } }), {
    code: "UNAVAILABLE", message: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
  });
});

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { imageHistory, imageInspect, imageList, imageRemove, imageResolve, imageTag } from "@gantry/contracts";
import { shortId } from "@gantry/kernel";
import { digestOf } from "@gantry/oci";
import { startDockerRegistry, type TestRegistry } from "@gantry/registry-client/testing";
import { request } from "undici";
import type { ProgressMessage } from "../domain/progress.ts";
import { startStore, type TestStore } from "../testing/harness.ts";
import { buildStep, tarOf } from "../testing/images.ts";

const run = promisify(execFile);
let registry: TestRegistry;
before(async () => { registry = await startDockerRegistry(); });
after(async () => { await registry[Symbol.asyncDispose](); });

interface Answer { readonly status: number; readonly lines: ProgressMessage[]; readonly text: string }

async function post(store: TestStore, path: string, body: Buffer | null = null, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await request(`${store.url}${path}`, { method: "POST", body, headers });
  const text = await answer.body.text();
  return { status: answer.statusCode, text, lines: answer.statusCode === 200 ? text.split("\r\n").filter((line) => line !== "").map((line) => JSON.parse(line) as ProgressMessage) : [] };
}
const save = async (store: TestStore, ...names: string[]) => {
  const answer = await request(`${store.url}/v1/images/save?${new URLSearchParams(names.map((name) => ["name", name]))}`);
  assert.equal(answer.statusCode, 200);
  return Buffer.from(await answer.body.arrayBuffer());
};
const statuses = (answer: Answer, id?: string) => answer.lines.filter((line) => id === undefined || line.id === id).map((line) => line.status);

test("push to docker-registry and pull from it into an empty store, in Docker's words", async () => {
  const repo = `${registry.address}/team/pinger`;
  await using from = await startStore();
  const base = await buildStep(from, { files: { "base.txt": "b".repeat(20_000) }, by: "ADD" });
  const image = await buildStep(from, { parent: base, files: { "app.js": randomBytes(100_000).toString("hex") }, by: "COPY", tags: [repo] });
  const pushed = await post(from, `/v1/images/push?ref=${repo}:latest`);
  assert.equal(pushed.lines[0]!.status, `The push refers to repository [${repo}]`);
  const ids = image.layers.map((layer) => shortId(layer.diffId));
  assert.deepEqual(pushed.lines.slice(1, 3).map((line) => [line.status, line.id]), [["Preparing", ids[1]], ["Preparing", ids[0]]], "from the top");
  for (const id of ids) assert.deepEqual([...new Set(statuses(pushed, id))], ["Preparing", "Pushing", "Pushed"]);
  const [said, aux] = pushed.lines.slice(-2) as [ProgressMessage, ProgressMessage];
  const match = /^latest: digest: (sha256:[0-9a-f]{64}) size: (\d+)$/.exec(said.status!)!;
  assert.deepEqual(aux, { progressDetail: {}, aux: { Tag: "latest", Digest: match[1], Size: Number(match[2]) } });
  const again = await post(from, `/v1/images/push?ref=${repo}:latest`);
  for (const id of ids) assert.deepEqual(statuses(again, id), ["Preparing", "Layer already exists"]);
  assert.equal(again.lines.at(-2)!.status, said.status, "the same image gives the same manifest");
  assert.deepEqual(((await from.bus.call(imageInspect, { ref: repo })).image["RepoDigests"]), [`${repo}@${match[1]}`]);
  await from.seen("push", 2);

  await using to = await startStore();
  const pulled = await post(to, `/v1/images/pull?ref=${repo}&platform=`);
  assert.deepEqual(pulled.lines[0], { status: "Pulling from team/pinger", id: "latest" });
  assert.deepEqual(pulled.lines.slice(-2), [{ status: `Digest: ${match[1]}` }, { status: `Status: Downloaded newer image for ${repo}:latest` }]);
  const layerIds = new Set(pulled.lines.filter((line) => line.status === "Pulling fs layer").map((line) => line.id!));
  assert.equal(layerIds.size, 2);
  for (const id of layerIds) assert.deepEqual([...new Set(statuses(pulled, id))], ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"]);
  const found = await to.bus.call(imageResolve, { ref: repo });
  assert.deepEqual([found.id, found.size, found.repoDigests], [image.id, 220_000, [`${repo}@${match[1]}`]]);
  const { history } = await to.bus.call(imageHistory, { ref: repo });
  assert.deepEqual(history.map((row) => [row["Id"], row["Size"]]), [[image.id, 200_000], ["<missing>", 20_000]]);
  const upToDate = await post(to, `/v1/images/pull?ref=${repo}`);
  assert.deepEqual(upToDate.lines.map((line) => line.status), ["Pulling from team/pinger", "Already exists", "Already exists", `Digest: ${match[1]}`, `Status: Image is up to date for ${repo}:latest`]);
  const byDigest = await post(to, `/v1/images/pull?ref=${encodeURIComponent(`${repo}@${match[1]}`)}`);
  assert.equal(byDigest.lines.at(-1)!.status, `Status: Image is up to date for ${repo}@${match[1]}`);
  assert.deepEqual((await to.bus.call(imageRemove, { ref: repo, force: false, prune: true })).rows.slice(0, 3), [
    { Untagged: `${repo}:latest` }, { Untagged: `${repo}@${match[1]}` }, { Deleted: image.id },
  ]);
});

test("a pull takes what a local layer already holds; a repush of what was pulled keeps the manifest", async () => {
  const repo = `${registry.address}/shared`;
  await using from = await startStore();
  const base = await buildStep(from, { files: { a: "1" }, by: "ADD", tags: [`${repo}:base`] });
  await buildStep(from, { parent: base, files: { b: "2" }, by: "COPY", tags: [`${repo}:top`] });
  await post(from, `/v1/images/push?ref=${repo}`);
  await using to = await startStore();
  await buildStep(to, { files: { a: "1" }, by: "something else" });
  const pulled = await post(to, `/v1/images/pull?ref=${repo}:top`);
  assert.deepEqual(pulled.lines.filter((line) => line.status === "Already exists").length, 1);
  const other = await startStore();
  await using _other = other;
  const first = await post(other, `/v1/images/pull?ref=${repo}:top`);
  await other.bus.call(imageTag, { ref: `${repo}:top`, target: `${registry.address}/renamed:1` });
  const pushed = await post(other, `/v1/images/push?ref=${registry.address}/renamed:1`);
  assert.equal(first.lines.at(-2)!.status!.split(" ")[1], pushed.lines.at(-2)!.status!.split(" ")[2]);
  assert.equal(pushed.lines.filter((line) => line.status === "Mounted").length, 0);
});

test("errors of pull and push", async () => {
  await using store = await startStore();
  const missing = await post(store, `/v1/images/pull?ref=${registry.address}/nope`);
  assert.deepEqual([missing.status, JSON.parse(missing.text)], [404, { message: `manifest for ${registry.address}/nope:latest not found: manifest unknown: manifest unknown`, code: "NO_SUCH_IMAGE" }]);
  const refused = await post(store, "/v1/images/pull?ref=127.0.0.1:1/x");
  assert.deepEqual([refused.status, (JSON.parse(refused.text) as { message: string }).message], [503, 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused']);
  assert.equal((await post(store, "/v1/images/pull?ref=Bad")).status, 400);
  const nothing = await post(store, `/v1/images/push?ref=${registry.address}/none:1`);
  assert.deepEqual(nothing.lines.at(-1), { errorDetail: { message: `An image does not exist locally with the tag: ${registry.address}/none` }, error: `An image does not exist locally with the tag: ${registry.address}/none` });
  await buildStep(store, { files: { a: "1" }, by: "ADD", tags: [`${registry.address}/some:1`] });
  assert.equal((await post(store, `/v1/images/push?ref=${registry.address}/some:2`)).lines.at(-1)!.error, `tag does not exist: ${registry.address}/some:2`);
  await using guarded = await startStore({ config: { token: "t" } });
  assert.match((await post(store, `/v1/images/pull?ref=${guarded.address}/x`)).text, /pull access denied for .*\/x, repository does not exist or may require 'docker login': unauthorized: authentication required/);
  const auth = Buffer.from(JSON.stringify({ username: "me", password: "t" })).toString("base64url");
  await store.bus.call(imageTag, { ref: `${registry.address}/some:1`, target: `${guarded.address}/some` });
  assert.match(String((await post(store, `/v1/images/push?ref=${guarded.address}/some:latest`, null, { "x-registry-auth": auth })).lines.at(-2)?.status), /^latest: digest: /);
  assert.equal((await guarded.bus.call(imageResolve, { ref: "some" })).repoTags[0], "some:latest");
});

test("save and load: every compression, tags and IDs, and nothing twice", async () => {
  await using from = await startStore();
  const base = await buildStep(from, { files: { a: "x".repeat(1_200_000) }, by: "ADD", tags: ["base", "base:2"] });
  const top = await buildStep(from, { parent: base, files: { b: "2" }, by: "COPY" });
  const archive = await save(from, "base", top.id.slice(0, 20));
  await from.seen("save", 2);
  await mkdir(join(from.dir, "x"));
  await writeFile(join(from.dir, "x.tar"), archive);
  await run("tar", ["-xf", join(from.dir, "x.tar"), "-C", join(from.dir, "x")]);
  assert.deepEqual((await readdir(join(from.dir, "x"))).sort(), ["blobs", "index.json", "manifest.json", "oci-layout", "repositories"]);
  const manifest = JSON.parse(await readFile(join(from.dir, "x/manifest.json"), "utf8")) as { RepoTags: string[] | null; Config: string; Layers: string[] }[];
  assert.deepEqual(manifest.map((entry) => entry.RepoTags), [["base:2", "base:latest"], null]);
  const packed = (name: string) => execFileSync(name, ["-c"], { input: archive, maxBuffer: 1 << 26 });
  for (const [name, body] of [["plain", archive], ["gzip", gzipSync(archive)], ["zstd", zstdCompressSync(archive)], ["xz", packed("xz")], ["bzip2", packed("bzip2")]] as const) {
    await using to = await startStore();
    const loaded = await post(to, "/v1/images/load?quiet=0", body);
    assert.deepEqual(loaded.lines.filter((line) => line.stream !== undefined).map((line) => line.stream), ["Loaded image: base:2\n", "Loaded image: base:latest\n", `Loaded image ID: ${top.id}\n`], name);
    assert.equal(statuses(loaded).filter((status) => status === "Loading layer").length, 2);
    if (name !== "plain") continue;
    const again = await post(to, "/v1/images/load?quiet=0", body);
    assert.equal(statuses(again).filter((status) => status === "Loading layer").length, 0);
    assert.equal((await to.bus.call(imageResolve, { ref: "base" })).size, 1_200_000);
    assert.deepEqual(await save(to, "base", top.id), archive, "the same archive again");
  }
});

test("load reads what skopeo writes, and skopeo what save writes", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1".repeat(1_100_000) }, by: "ADD", tags: ["base:1"] });
  await writeFile(join(store.dir, "saved.tar"), await save(store, "base:1"));
  await run("skopeo", ["copy", `docker-archive:${store.dir}/saved.tar:base:1`, `oci-archive:${store.dir}/oci.tar:named:3`]);
  await run("skopeo", ["copy", `docker-archive:${store.dir}/saved.tar:base:1`, `docker-archive:${store.dir}/docker.tar:other:4`]);
  await mkdir(join(store.dir, "layout"));
  await run("tar", ["-xf", join(store.dir, "saved.tar"), "-C", join(store.dir, "layout")]);
  await run("skopeo", ["copy", `oci:${store.dir}/layout:1`, `dir:${store.dir}/dir`]);
  await using to = await startStore();
  assert.deepEqual((await post(to, "/v1/images/load", await readFile(join(store.dir, "docker.tar")))).lines.at(-1), { stream: "Loaded image: other:4\n" });
  assert.equal((await to.bus.call(imageResolve, { ref: "other:4" })).layers[0]!.diffId, base.layers[0]!.diffId);
  assert.deepEqual((await post(to, "/v1/images/load", await readFile(join(store.dir, "oci.tar")))).lines.at(-1), { stream: "Loaded image: named:3\n" });
});

test("load refuses what is broken, and keeps none of it", async () => {
  await using store = await startStore();
  const tar = await tarOf({ "layer.txt": "hello" });
  const config = (diffId: string) => JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [diffId] } });
  const manifest = JSON.stringify([{ Config: "c.json", RepoTags: ["x:1"], Layers: ["l.tar"] }]);
  const rows: [name: string, files: Record<string, string | Buffer>, message: RegExp][] = [
    ["nothing", { a: "b" }, /neither a docker save manifest.json nor an OCI index.json/],
    ["no layer", { "manifest.json": manifest, "c.json": config(digestOf(tar)) }, /layer "l.tar" is missing/],
    ["another layer", { "manifest.json": manifest, "c.json": config(digestOf("other")), "l.tar": tar }, /invalid diffID/],
    ["no tar", { "manifest.json": manifest, "c.json": config(digestOf("xxx")), "l.tar": "xxx" }, /not a tar archive/],
    ["bad tag", { "manifest.json": manifest.replace("x:1", "X Y"), "c.json": config(digestOf(tar)), "l.tar": tar }, /invalid reference format/],
    ["path", { "manifest.json": manifest.replace("c.json", "../../etc/passwd") }, /is missing/],
  ];
  for (const [name, files, message] of rows) {
    const answer = await post(store, "/v1/images/load", await tarOf(files));
    assert.equal(answer.status, 400, name);
    assert.match((JSON.parse(answer.text) as { message: string }).message, message, name);
  }
  assert.equal((await post(store, "/v1/images/load", Buffer.from("no archive at all".repeat(100)))).status, 400);
  assert.equal((await post(store, "/v1/images/load", gzipSync(tar).subarray(0, 60))).status, 400);
  const whole = await tarOf({ big: randomBytes(3_000_000), "manifest.json": manifest });
  assert.equal((await post(store, "/v1/images/load", whole.subarray(0, 2_000_000))).status, 400);
  assert.deepEqual((await store.bus.call(imageList, { all: true, filters: {}, digests: false })).images, []);
});

test("an old archive with a folder and a linked layer per image", async () => {
  await using store = await startStore();
  const dir = join(store.dir, "old");
  await mkdir(join(dir, "one"), { recursive: true });
  await mkdir(join(dir, "two"), { recursive: true });
  const tar = await tarOf({ f: "content" });
  await writeFile(join(dir, "one/layer.tar"), tar);
  await run("ln", ["-s", "../one/layer.tar", join(dir, "two/layer.tar")]);
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(tar), digestOf(tar)] } });
  await writeFile(join(dir, "c.json"), config);
  await writeFile(join(dir, "manifest.json"), JSON.stringify([{ Config: "c.json", RepoTags: ["old:1"], Layers: ["one/layer.tar", "two/layer.tar"] }]));
  await run("tar", ["-cf", join(store.dir, "old.tar"), "-C", dir, "."]);
  await rm(dir, { recursive: true });
  assert.deepEqual((await post(store, "/v1/images/load?quiet=1", await readFile(join(store.dir, "old.tar")))).lines, [{ stream: "Loaded image: old:1\n" }]);
  assert.equal((await store.bus.call(imageResolve, { ref: "old:1" })).size, 14);
});

test("import makes an image of one layer, with changes", async () => {
  await using store = await startStore();
  const tar = await tarOf({ "bin/sh": "shell" });
  const query = new URLSearchParams([["repo", "imported"], ["tag", "3"], ["message", "from a test"], ["change", "CMD sh -c true"], ["change", "ENV A=1 B=2"], ["change", "ENV C=$A"], ["change", "EXPOSE 80"], ["change", 'ENTRYPOINT ["/e"]']]);
  const answer = await post(store, `/v1/images/import?${query}`, gzipSync(tar));
  const { image } = await store.bus.call(imageInspect, { ref: "imported:3" });
  assert.deepEqual(answer.lines, [{ status: image["Id"] }]);
  assert.deepEqual(image["Config"], { ExposedPorts: { "80/tcp": {} }, Env: ["A=1", "B=2", "C=1"], Entrypoint: ["/e"], Cmd: ["/bin/sh", "-c", "sh -c true"] });
  assert.deepEqual([image["Comment"], image["Size"]], ["from a test", 5]);
  assert.deepEqual((await store.seen("import"))[0]!.Actor.ID, image["Id"]);
  assert.match((await post(store, "/v1/images/import?change=RUN+x", tar)).text, /run is not a valid change command/);
  assert.equal((await post(store, "/v1/images/import", Buffer.from("not a tar".repeat(100)))).status, 400);
  assert.equal((await post(store, "/v1/images/import", execFileSync("xz", ["-c"], { input: tar }))).status, 200);
});

test("a client that leaves in the middle of a load leaves nothing behind", async () => {
  await using store = await startStore({ config: { blobGraceSeconds: 0 } });
  const archive = await tarOf({ big: randomBytes(4_000_000) });
  await assert.rejects(request(`${store.url}/v1/images/load`, { method: "POST", headers: { "content-length": String(archive.length) }, body: (async function* () { yield archive.subarray(0, 3_000_000); throw new Error("gone"); })() as never }));
  while ((await readdir(join(store.dir, "blobs/ingest"))).length > 0) await new Promise((resolve) => setImmediate(resolve));
  for await (const blob of store.content.list()) assert.fail(`left: ${blob.digest}`);
});

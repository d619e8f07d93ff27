import assert from "node:assert/strict";
import { test } from "node:test";
import { blobStat, imageHistory, imageInspect, imageList, imagePrune, imagePut, imageRemove, imageResolve, imageStoreInfo, imageTag } from "@gantry/contracts";
import { shortId } from "@gantry/kernel";
import { chainIds, imageConfigText } from "@gantry/oci";
import { sharedPostgres, uniqueName } from "@gantry/testkit";
import { request } from "undici";
import { putBlob, startStore, type TestStore } from "./testing/harness.ts";
import { buildStep, tarOf } from "./testing/images.ts";

const CONTAINER = `832701d84725${"0".repeat(52)}`;
const remove = (store: TestStore, ref: string, force = false) => store.bus.call(imageRemove, { ref, force, prune: true });

test("an image is put, resolved, listed, inspected, tagged, and is there after a restart", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { "a.txt": "hello" }, by: "ADD", tags: ["base"], labels: { x: "1" } });
  const top = await buildStep(store, { parent: base, by: "CMD", tags: ["localhost:5000/app:1", "app"], created: "2026-02-02T00:00:00Z" });
  for (const ref of ["app", "app:latest", "localhost:5000/app:1", top.id, top.id.slice(7), shortId(top.id), top.id.slice(0, 20)]) {
    const found = await store.bus.call(imageResolve, { ref });
    assert.equal(found.id, top.id, ref);
    assert.deepEqual(found.repoTags, ["app:latest", "localhost:5000/app:1"]);
    assert.equal(found.parent, base.id);
    assert.equal(found.size, 5);
    assert.deepEqual(found.layers.map((layer) => layer.chainId), chainIds(top.layers.map((layer) => layer.diffId)));
    assert.deepEqual(found.config, top.config);
  }
  for (const [ref, message] of [["nope", "No such image: nope:latest"], ["app:2", "No such image: app:2"], ["ffffffffffff", "No such image: ffffffffffff:latest"], [`sha256:${"f".repeat(64)}`, `No such image: sha256:${"f".repeat(64)}`]] as const) {
    await assert.rejects(store.bus.call(imageResolve, { ref }), { code: "NO_SUCH_IMAGE", message });
  }
  await assert.rejects(store.bus.call(imageResolve, { ref: "App" }), { code: "INVALID", message: "invalid reference format: repository name (library/App) must be lowercase" });
  await store.bus.call(imageTag, { ref: shortId(base.id), target: "other:2" });
  assert.deepEqual((await store.seen("tag", 4)).map((event) => event.Actor.Attributes["name"]), ["base:latest", "localhost:5000/app:1", "app:latest", "other:2"]);
  await assert.rejects(store.bus.call(imageTag, { ref: "base", target: `x@${base.id}` }), { message: "refusing to create a tag with a digest reference" });
  await store.restart();
  const { images } = await store.bus.call(imageList, { all: false, filters: {}, digests: false });
  assert.deepEqual(images.map((row) => [row["Id"], row["RepoTags"], row["Size"], row["ParentId"], row["Created"], row["Labels"], row["Containers"], row["SharedSize"]]), [
    [top.id, ["app:latest", "localhost:5000/app:1"], 5, base.id, 1769990400, null, -1, -1],
    [base.id, ["base:latest", "other:2"], 5, "", 1767323045, { x: "1" }, -1, -1],
  ]);
  const { image } = await store.bus.call(imageInspect, { ref: "base" });
  assert.deepEqual(Object.keys(image), ["Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Config", "Architecture", "Os", "Size", "GraphDriver", "RootFS", "Metadata"]);
  assert.deepEqual(image["Config"], { Env: ["PATH=/bin"], Cmd: ["sh"], Labels: { x: "1" } });
  assert.deepEqual(image["RootFS"], { Type: "layers", Layers: base.config.rootfs.diff_ids });
  assert.match(String((image["Metadata"] as { LastTagTime: string }).LastTagTime), /^20\d\d-/);
  assert.deepEqual(await store.bus.call(imageStoreInfo, {}), { images: 2, layersSize: 5 });
});

test("filters of the listing", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["team/base:1"], created: "2026-01-01T00:00:00Z", labels: { stage: "base" } });
  const middle = await buildStep(store, { parent: base, by: "ENV", created: "2026-01-02T00:00:00Z" });
  const top = await buildStep(store, { parent: middle, by: "CMD", tags: ["app"], created: "2026-01-03T00:00:00Z" });
  const dangling = await buildStep(store, { parent: base, by: "USER", created: "2026-01-04T00:00:00Z" });
  const rows: [filters: Record<string, string[]>, all: boolean, ids: string[]][] = [
    [{}, false, [dangling.id, top.id, base.id]],
    [{}, true, [dangling.id, top.id, middle.id, base.id]],
    [{ dangling: ["true"] }, false, [dangling.id]],
    [{ dangling: ["false"] }, false, [top.id, base.id]],
    [{ reference: ["app"] }, false, [top.id]],
    [{ reference: ["*"] }, false, [top.id]],
    [{ reference: ["*/*"] }, false, [base.id]],
    [{ reference: ["team/base:[0-9]"] }, false, [base.id]],
    [{ label: ["stage=base"] }, false, [base.id]],
    [{ label: ["stage=other"] }, false, []],
    [{ before: ["app"] }, false, [base.id]],
    [{ since: ["team/base:1"] }, false, [dangling.id, top.id]],
    [{ until: ["2026-01-03"] }, false, [base.id]],
  ];
  for (const [filters, all, ids] of rows) {
    const { images } = await store.bus.call(imageList, { all, filters, digests: false });
    assert.deepEqual(images.map((row) => row["Id"]), ids, JSON.stringify(filters));
  }
  await assert.rejects(store.bus.call(imageList, { all: false, filters: { colour: ["red"] }, digests: false }), { code: "INVALID", message: "invalid filter 'colour'" });
});

test("history: IDs for what was built here, <missing> below", async () => {
  await using store = await startStore();
  const pulled = await buildStep(store, { files: { a: "four" }, by: "/bin/sh -c #(nop) ADD file:3 in / " });
  // A base whose own steps are not known here.
  const base = await buildStep(store, { by: "/bin/sh -c #(nop)  CMD [\"sh\"]", parent: { ...pulled, id: `sha256:${"e".repeat(64)}` }, tags: ["base"] });
  const user = await buildStep(store, { parent: base, by: "/bin/sh -c #(nop)  USER root" });
  const copy = await buildStep(store, { parent: user, files: { b: "12345" }, by: "/bin/sh -c #(nop) COPY dir:1 in /home ", tags: ["pinger", "pinger:2"] });
  const { history } = await store.bus.call(imageHistory, { ref: "pinger" });
  assert.deepEqual(history.map((row) => [row["Id"], row["Size"], row["Tags"]]), [
    [copy.id, 5, ["pinger:2", "pinger:latest"]], [user.id, 0, null], [base.id, 0, ["base:latest"]], ["<missing>", 4, null],
  ]);
  assert.deepEqual(Object.keys(history[0]!), ["Comment", "Created", "CreatedBy", "Id", "Size", "Tags"]);
});

test("image rm: the lecture's conflict, and what -f deletes", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["debian:buster"] });
  const run = await buildStep(store, { parent: base, files: { "123456.txt": "date" }, by: "RUN date" });
  const cmd = await buildStep(store, { parent: run, by: "CMD cat" });
  store.uses = [{ containerId: CONTAINER, imageId: cmd.id, running: false }];
  await assert.rejects(remove(store, shortId(cmd.id)), {
    code: "IMAGE_IN_USE", message: `conflict: unable to delete ${shortId(cmd.id)} (must be forced) - image is being used by stopped container 832701d84725`,
  });
  assert.deepEqual((await remove(store, shortId(cmd.id), true)).rows, [{ Deleted: cmd.id }, { Deleted: run.id }]);
  assert.deepEqual((await store.seen("delete", 2)).map((event) => event.Actor.ID), [cmd.id, run.id]);
  await assert.rejects(store.bus.call(imageResolve, { ref: run.id }), { code: "NO_SUCH_IMAGE" });
});

test("image rm: every conflict in Docker's words, and the order of the rows", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base"] });
  const top = await buildStep(store, { parent: base, files: { b: "2" }, by: "COPY", tags: ["one", "two"] });
  const short = shortId(top.id);
  await assert.rejects(remove(store, shortId(base.id), true), { message: `conflict: unable to delete ${shortId(base.id)} (cannot be forced) - image has dependent child images` });
  await assert.rejects(remove(store, short), { message: `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories` });
  assert.deepEqual((await remove(store, "one")).rows, [{ Untagged: "one:latest" }]);
  store.uses = [{ containerId: CONTAINER, imageId: top.id, running: true }];
  await assert.rejects(remove(store, short, true), { message: `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container 832701d84725` });
  await assert.rejects(remove(store, "two"), { message: `conflict: unable to remove repository reference "two" (must force) - container 832701d84725 is using its referenced image ${short}` });
  assert.deepEqual((await remove(store, "two", true)).rows, [{ Untagged: "two:latest" }], "the name goes, the image in use stays");
  store.uses = [];
  const chain = chainIds(top.layers.map((layer) => layer.diffId));
  assert.deepEqual((await remove(store, short)).rows, [{ Deleted: top.id }, { Deleted: chain[1] }], "a tagged parent stays");
  assert.deepEqual((await remove(store, "base")).rows, [{ Untagged: "base:latest" }, { Deleted: base.id }, { Deleted: chain[0] }]);
  await assert.rejects(remove(store, "base"), { code: "NO_SUCH_IMAGE", message: "No such image: base:latest" });
});

test("prune removes dangling images and says how much it freed", async () => {
  await using store = await startStore();
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base"] });
  const old = await buildStep(store, { parent: base, files: { b: "22" }, by: "COPY", tags: ["app"] });
  const next = await buildStep(store, { parent: base, files: { b: "333" }, by: "COPY", tags: ["app"] });
  const pruned = await store.bus.call(imagePrune, { filters: { dangling: ["true"] } });
  assert.deepEqual(pruned, { rows: [{ Deleted: old.id }, { Deleted: chainIds(old.layers.map((layer) => layer.diffId))[1] }], spaceReclaimed: 2 });
  assert.equal((await store.bus.call(imageResolve, { ref: "app" })).id, next.id);
  const all = await store.bus.call(imagePrune, { filters: { dangling: ["false"] } });
  assert.equal(all.spaceReclaimed, 4);
  assert.deepEqual(await store.bus.call(imageStoreInfo, {}), { images: 0, layersSize: 0 });
});

test("put refuses layers that are not stored or not the config's, and the same image twice is one", async () => {
  await using store = await startStore();
  const tar = await tarOf({ a: "1" });
  const { digest, size } = await putBlob(store, tar);
  const layer = { diffId: digest, digest, mediaType: "application/vnd.oci.image.layer.v1.tar", blobSize: size, size: 1 };
  const config = imageConfigText({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digest] } });
  const other = `sha256:${"9".repeat(64)}`;
  const put = (body: Partial<Parameters<typeof store.bus.call<typeof imagePut>>[1]>) => store.bus.call(imagePut, { config, layers: [layer], parent: null, tags: [], ...body });
  await assert.rejects(put({ layers: [] }), { code: "INVALID" });
  await assert.rejects(put({ layers: [{ ...layer, diffId: other }] }), { code: "INVALID" });
  await assert.rejects(put({ layers: [{ ...layer, digest: other }] }), { code: "NO_SUCH_BLOB" });
  await assert.rejects(put({ layers: [{ ...layer, blobSize: 3 }] }), { code: "INVALID" });
  await assert.rejects(put({ tags: ["x@" + other] }), { code: "INVALID" });
  const first = await put({ tags: ["x"] });
  assert.deepEqual(await put({ parent: first.id }), first, "no image is its own parent");
  assert.equal((await store.bus.call(imageResolve, { ref: "x" })).parent, null);
});

test("blobs over HTTP: ranges, digests, bounds", async () => {
  await using store = await startStore({ config: { maxBlobBytes: 1000 } });
  const data = Buffer.from("0123456789");
  const { digest } = await putBlob(store, data);
  const get = async (range: string | null, method: "GET" | "HEAD" = "GET") => {
    const { statusCode, headers, body } = await request(`${store.url}/v1/blobs/${digest}`, { method, ...(range === null ? {} : { headers: { range } }) });
    return [statusCode, headers["content-length"], headers["content-range"], await body.text()];
  };
  assert.deepEqual(await get(null), [200, "10", undefined, "0123456789"]);
  assert.deepEqual(await get(null, "HEAD"), [200, "10", undefined, ""]);
  assert.deepEqual(await get("bytes=2-4"), [206, "3", "bytes 2-4/10", "234"]);
  assert.deepEqual(await get("bytes=-3"), [206, "3", "bytes 7-9/10", "789"]);
  assert.deepEqual(await get("bytes=8-"), [206, "2", "bytes 8-9/10", "89"]);
  assert.deepEqual(await get("bytes=10-"), [416, "0", "bytes */10", ""]);
  const post = async (query: string, body: Buffer) => {
    const answer = await request(`${store.url}/v1/blobs?${query}`, { method: "POST", body });
    return [answer.statusCode, ((await answer.body.json()) as { code?: string }).code];
  };
  assert.deepEqual(await post(`digest=sha256:${"0".repeat(64)}`, data), [400, "DIGEST_MISMATCH"]);
  assert.deepEqual(await post("digest=../../etc/passwd", data), [400, "INVALID"]);
  assert.deepEqual(await post("", Buffer.alloc(2000)), [413, "TOO_LARGE"]);
  const missing = await request(`${store.url}/v1/blobs/sha256:${"0".repeat(64)}`);
  assert.deepEqual([missing.statusCode, await missing.body.json()], [404, { message: `blob not found: sha256:${"0".repeat(64)}`, code: "NO_SUCH_BLOB" }]);
  assert.deepEqual(await store.bus.call(blobStat, { digest }), { size: 10 });
  const foreign = await request(`${store.url}/v1/blobs/${digest}`, { headers: { host: "evil.example" } });
  assert.equal(foreign.statusCode, 403);
  await foreign.body.dump();
});

test("PostgreSQL keeps the same", async () => {
  await using postgres = await sharedPostgres();
  await using store = await startStore({ database: { url: postgres.url, service: uniqueName("image-store") } });
  const base = await buildStep(store, { files: { a: "1" }, by: "ADD", tags: ["base", "base:2"], labels: { x: "ä\u0001" } });
  const top = await buildStep(store, { parent: base, files: { b: "2" }, by: "COPY", tags: ["top"] });
  const manifest = await request(`${store.url}/v2/top/manifests/latest`);
  const text = await manifest.body.text();
  await remove(store, "base:2");
  const before = await store.bus.call(imageList, { all: true, filters: {}, digests: false });
  await store.restart();
  assert.deepEqual(await store.bus.call(imageList, { all: true, filters: {}, digests: false }), before);
  assert.deepEqual(before.images.flatMap((row) => row["RepoTags"]).sort(), ["base:latest", "top:latest"]);
  assert.equal(await (await request(`${store.url}/v2/top/manifests/latest`)).body.text(), text);
  assert.deepEqual((await remove(store, "top")).rows.map((row) => row.Untagged ?? row.Deleted), ["top:latest", top.id, chainIds(top.layers.map((layer) => layer.diffId))[1]]);
  await store.seen("delete");
});

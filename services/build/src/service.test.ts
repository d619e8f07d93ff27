import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createLocalBus, LocalBroker, on, type Bus } from "@gantry/bus";
import { DiskContentStore } from "@gantry/content";
import {
  buildCachePrune, buildCancel, buildGet, buildList, buildSteps, buildSubmit, containersUsingImage, imageHistory, imagePut, imageRemove, imageResolve, type BuildSpec, type ResolvedImage,
} from "@gantry/contracts";
import { openDatabase } from "@gantry/database";
import { openDigestCache, type DigestCache } from "@gantry/digest-cache";
import * as imageStore from "@gantry/image-store";
import { newId, shortId, silentLogger, systemClock as clock } from "@gantry/kernel";
import { MediaType } from "@gantry/oci";
import { endSpawner, loadNative, removeCgroup, startRuntime } from "@gantry/runtime";
import { openSnapshots, TarParser, type OverlaySnapshots, type TarEntry } from "@gantry/snapshots";
import { HttpClient } from "@gantry/http";
import { Pool } from "undici";
import { Value } from "typebox/value";
import * as build from "./index.ts";
import { busyboxLayer, inChunks, tarOf, type Files } from "./testing/tar.ts";

/** The whole service over real parts: local bus, SQLite, blobs, snapshots, containers, and the real image store. */

interface Message { stream?: string; aux?: { ID: string }; error?: string; errorDetail?: { code?: number; message: string } }
interface Line { readonly seq: number; readonly message?: Message; readonly end?: { state: string; imageId: string | null; error: string | null } }
interface Outcome { readonly id: string; readonly text: string; readonly messages: readonly Message[]; readonly state: string; readonly imageId: string | null; readonly error: string | null }

const dir = mkdtempSync(join(tmpdir(), "gantry-build-test-"));
const CGROUP_PARENT = `gantry-build-test-${process.pid}`;
const outer = new AsyncDisposableStack();
let bus: Bus;
let cache: DigestCache;
let content: DiskContentStore;
let snapshots: OverlaySnapshots;
let http: Pool;
let restart: () => Promise<void>;

const noNetwork: build.StepNetwork = {
  async attach({ hostname }) {
    return { namespace: "new", networks: [], hosts: `127.0.0.1\tlocalhost ${hostname}\n`, resolvConf: "", async [Symbol.asyncDispose]() {} };
  },
};

before(async () => {
  outer.defer(() => rmSync(dir, { recursive: true, force: true }));
  const broker = new LocalBroker(silentLogger);
  const busOf = (service: string): Bus => outer.use(createLocalBus({ service, clock, logger: silentLogger, broker }));
  const native = loadNative().fs;
  const spawner = join(dir, "spawner.sock");
  outer.defer(() => removeCgroup(CGROUP_PARENT));
  outer.defer(() => endSpawner(spawner));
  const runtime = outer.use(await startRuntime({ socket: spawner }));
  snapshots = outer.use(await openSnapshots({ dir: join(dir, "snapshots"), native }));
  content = await DiskContentStore.open({ dir: join(dir, "blobs") });
  cache = outer.use(await openDigestCache("memory:"));
  bus = busOf("test");
  outer.use(await bus.serve("scheduler", [on(containersUsingImage, async () => ({ uses: [] }))]));
  const store = `unix:${join(dir, "image-store.sock")}`;
  await imageStore.start(Value.Default(imageStore.Config, { listen: [store] }) as imageStore.Config, {
    bus: busOf("image-store"), clock, logger: silentLogger, content, cache, credentials: null,
    database: outer.use(await openDatabase<imageStore.Tables>(`sqlite:${join(dir, "db")}`, { service: "image-store", migrations: imageStore.migrations })),
  }, outer);
  const config = Value.Default(build.Config, {
    listen: `unix:${join(dir, "build.sock")}`, stateDir: join(dir, "build"), imageStore: store, worker: "w1", cgroupParent: CGROUP_PARENT, leaseSeconds: 3,
  }) as build.Config;
  let scope = new AsyncDisposableStack();
  outer.defer(() => scope.disposeAsync());
  const begin = async (): Promise<void> => {
    scope = new AsyncDisposableStack();
    await build.start(config, {
      bus: scope.use(createLocalBus({ service: "build", clock, logger: silentLogger, broker })),
      clock, logger: silentLogger, http: scope.use(new HttpClient()), content, cache, snapshots, native, runtime, stepNetwork: noNetwork,
      database: scope.use(await openDatabase<build.BuildDatabase>(`sqlite:${join(dir, "db")}`, { service: "build", migrations: build.migrations })),
    }, scope);
  };
  await begin();
  restart = async () => { await scope.disposeAsync(); await begin(); };
  http = new Pool("http://localhost", { connect: { socketPath: join(dir, "build.sock") } });
  outer.defer(() => http.destroy());

  const { digest, size } = await content.ingest(inChunks(busyboxLayer()));
  await bus.call(imagePut, {
    config: JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux", created: "2020-01-01T00:00:00Z", config: { Cmd: ["sh"] },
      history: [{ created: "2020-01-01T00:00:00Z", created_by: "/bin/sh -c #(nop) ADD file:1 in / " }], rootfs: { type: "layers", diff_ids: [digest] },
    }),
    layers: [{ diffId: digest, digest, mediaType: MediaType.ociLayer, blobSize: size, size }], parent: null, tags: ["bb:1"],
  });
});
after(() => outer.disposeAsync());

const SPEC: Omit<BuildSpec, "context"> = {
  dockerfile: "Dockerfile", tags: [], buildArgs: {}, labels: {}, target: "", noCache: false, pull: false, rm: true, forceRm: false, quiet: false, cacheFrom: [],
  networkMode: "default", extraHosts: [], memory: 0, cpuShares: 0, shmSize: 0, squash: false, platform: "", auth: {},
};

async function submit(context: Buffer, options: Partial<BuildSpec> = {}): Promise<string> {
  const { digest } = await content.ingest(inChunks(context), { volatile: true });
  const id = newId();
  assert.equal((await bus.call(buildSubmit, { id, spec: { ...SPEC, ...options, context: digest } })).logs, `unix:${join(dir, "build.sock")}`);
  return id;
}

async function* follow(id: string, from = 0): AsyncGenerator<Line> {
  const answer = await http.request({ method: "GET", path: `/v1/builds/${id}/logs?from=${from}` });
  assert.equal(answer.statusCode, 200);
  let rest = "";
  for await (const chunk of answer.body.setEncoding("utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line) as Line;
  }
}

async function outcomeOf(id: string): Promise<Outcome> {
  const messages: Message[] = [];
  for await (const { message, end } of follow(id)) {
    if (message !== undefined) messages.push(message);
    if (end !== undefined) return { id, messages, text: messages.map((m) => m.stream ?? "").join(""), ...end };
  }
  throw new Error("the log ended without an end");
}

async function run(dockerfile: string, files: Files = {}, options: Partial<BuildSpec> = {}): Promise<Outcome> {
  return await outcomeOf(await submit(tarOf({ Dockerfile: dockerfile, ...files }), options));
}

async function ok(dockerfile: string, files: Files = {}, options: Partial<BuildSpec> = {}): Promise<Outcome & { imageId: string }> {
  const outcome = await run(dockerfile, files, options);
  assert.equal(outcome.error, null, `${outcome.text}\n${outcome.error}`);
  assert.ok(outcome.imageId !== null);
  return { ...outcome, imageId: outcome.imageId };
}

const resolve = (ref: string): Promise<ResolvedImage> => bus.call(imageResolve, { ref });

/** Entries of the layer tar, as `name mode uid:gid size|->target`. */
async function entries(image: ResolvedImage, index = -1): Promise<string[]> {
  const rows: string[] = [];
  const parser = new TarParser({ entry: (e: TarEntry) => rows.push(`${e.name} ${e.mode.toString(8)} ${e.uid}:${e.gid} ${e.linkName === "" ? e.size : `->${e.linkName}`}`), data() {}, end() {} });
  for await (const chunk of await content.open(image.layers.at(index)!.digest)) parser.push(chunk as Buffer);
  return rows.sort();
}

const ID = "[0-9a-f]{12}";
const matches = (text: string, lines: readonly string[]): void => {
  assert.match(text, new RegExp(`^${lines.map((line) => `${line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("<id>", ID)}\n`).join("")}$`));
};

test("the lecture's build, twice: its lines, its history, its images", async () => {
  const dockerfile = "FROM bb:1\nRUN date > /home/123456.txt\nCMD cat /home/123456.txt\n";
  const first = await ok(dockerfile, {}, { tags: ["lecture", "lecture:2"] });
  matches(first.text, [
    "Step 1/3 : FROM bb:1", " ---> <id>",
    "Step 2/3 : RUN date > /home/123456.txt", " ---> Running in <id>", "Removing intermediate container <id>", " ---> <id>",
    "Step 3/3 : CMD cat /home/123456.txt", " ---> Running in <id>", "Removing intermediate container <id>", " ---> <id>",
    "Successfully built <id>", "Successfully tagged lecture:latest", "Successfully tagged lecture:2",
  ]);
  assert.deepEqual(first.messages.slice(0, 3), [{ stream: "Step 1/3 : FROM bb:1" }, { stream: "\n" }, { stream: ` ---> ${shortId((await resolve("bb:1")).id)}\n` }]);
  assert.deepEqual(first.messages.find((m) => m.aux), { aux: { ID: first.imageId } });

  const second = await ok(dockerfile);
  matches(second.text, [
    "Step 1/3 : FROM bb:1", " ---> <id>", "Step 2/3 : RUN date > /home/123456.txt", " ---> Using cache", " ---> <id>",
    "Step 3/3 : CMD cat /home/123456.txt", " ---> Using cache", ` ---> ${shortId(first.imageId)}`, `Successfully built ${shortId(first.imageId)}`,
  ]);
  const { history } = await bus.call(imageHistory, { ref: "lecture" });
  assert.deepEqual(history.map((row) => row["CreatedBy"]), ["/bin/sh -c #(nop)  CMD [\"/bin/sh\" \"-c\" \"cat /home/123456.txt\"]", "/bin/sh -c date > /home/123456.txt", "/bin/sh -c #(nop) ADD file:1 in / "]);
  assert.ok(history.every((row) => row["Id"] !== "<missing>"), "every step is an image of its own");
  const image = await resolve("lecture:2");
  assert.equal(image.id, first.imageId);
  assert.equal(image.layers.length, 2);
  assert.deepEqual((await entries(image)).map((row) => row.replace(/ \d+$/, "")), ["home/ 755 0:0", "home/123456.txt 644 0:0"]);
});

test("steps that change nothing make no layer, and mount points never get into one", async () => {
  const { imageId, text } = await ok("FROM bb:1\nRUN true\nRUN cat /etc/hosts; ls /proc/self/ns >/dev/null; hostname; id; env | sort\nRUN touch /etc/x\n");
  const image = await resolve(imageId);
  assert.equal(image.layers.length, 2);
  const history = image.config["history"] as { empty_layer?: boolean }[];
  assert.deepEqual(history.map((h) => h.empty_layer === true), [false, true, true, false]);
  assert.deepEqual((await entries(image)).map((row) => row.split(" ")[0]), ["etc/", "etc/x"]);
  const container = /Running in ([0-9a-f]{12})\n127\.0\.0\.1/.exec(text)![1]!;
  assert.match(text, new RegExp(`\nuid=0\\(root\\) gid=0\\(root\\)[^\n]*\n(?:[A-Z]+=[^\n]*\n)*HOSTNAME=${container}\n`));
  assert.match(text, /\nPATH=\/usr\/local\/sbin:\/usr\/local\/bin:\/usr\/sbin:\/usr\/bin:\/sbin:\/bin\n/);
});

test("a failing command: output of both streams, Docker's error, and the steps before it are kept", async () => {
  const dockerfile = "FROM bb:1\nRUN echo fine > /ok\nRUN printf 'h\\303'; printf '\\251\\n'; echo e >&2; exit 3\n";
  const outcome = await run(dockerfile);
  assert.equal(outcome.state, "failed");
  const message = "The command '/bin/sh -c printf 'h\\303'; printf '\\251\\n'; echo e >&2; exit 3' returned a non-zero code: 3";
  assert.deepEqual(outcome.messages.at(-1), { errorDetail: { code: 3, message }, error: message });
  assert.match(outcome.text, /hé\n/);
  assert.ok(outcome.text.includes("\u001b[91me\n\u001b[0m"));
  assert.equal(outcome.error, message);
  assert.match((await run(dockerfile)).text, /RUN echo fine > \/ok\n ---> Using cache\n/);
  const forced = await run(dockerfile, {}, { forceRm: true });
  assert.match(forced.text, /Removing intermediate container [0-9a-f]{12}\n$/);
  assert.match((await run("FROM bb:1\nRUN [\"/nosuch\"]\n")).error!, /nosuch.*no such file or directory/);
  assert.match((await run("FROM bb:1\nUSER nope\nRUN true\n")).error!, /unable to find user nope: no matching entries in passwd file/);
});

test("every instruction, and the settings of the image", async () => {
  const dockerfile = [
    "ARG TAG=1", "FROM bb:$TAG AS base", "ARG FOO=bar", "ENV A=1 B=\"two words\"", "LABEL l=$A", "MAINTAINER me@x", "WORKDIR /new/dir", "WORKDIR sub", "EXPOSE 80 53/udp",
    "VOLUME /data", "STOPSIGNAL SIGTERM", "HEALTHCHECK --interval=5s CMD true", "SHELL [\"/bin/sh\", \"-ec\"]", "ENTRYPOINT [\"/bin/echo\"]", "CMD hi",
    "RUN echo \"$FOO $A $B $PWD\" > out; id -u", "USER node:node", "RUN id -u",
  ].join("\n");
  const { imageId, text } = await ok(dockerfile, {}, { buildArgs: { FOO: "baz", NOPE: "1", http_proxy: "x" }, labels: { zz: "1 '$A'", aa: "2" } });
  assert.match(text, /^Step 1\/20 : ARG TAG=1\nStep 2\/20 : FROM bb:\$TAG AS base\n ---> /);
  assert.match(text, /Step 19\/20 : LABEL aa=2\n/);
  assert.match(text, /\[Warning\] One or more build-args \[NOPE\] were not consumed\nSuccessfully built/);
  assert.match(text, /\n0\n/);
  assert.match(text, /\n1000\n/);
  const image = await resolve(imageId);
  assert.deepEqual(image.config["config"], {
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=two words"], Labels: { l: "1", aa: "2", zz: "1 '$A'" }, WorkingDir: "/new/dir/sub",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} }, Volumes: { "/data": {} }, StopSignal: "SIGTERM", Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5e9 },
    Shell: ["/bin/sh", "-ec"], Entrypoint: ["/bin/echo"], Cmd: ["/bin/sh", "-ec", "hi"], User: "node:node",
  });
  const history = image.config["history"] as { created_by: string; author?: string }[];
  assert.ok(history.some((h) => h.created_by === "|1 FOO=baz /bin/sh -ec echo \"$FOO $A $B $PWD\" > out; id -u" && h.author === "me@x"));
  assert.ok(history.some((h) => h.created_by === "/bin/sh -c #(nop) WORKDIR /new/dir/sub"));
  assert.match((await ok("FROM bb:1\nWORKDIR /new\nRUN cat /etc/passwd | grep node; ls -d /new\n")).text, /\n\/new\n/);
  // Another argument's value is another step, the same is the same.
  const args = (value: string) => ok("FROM bb:1\nARG V\nRUN echo $V > /v\n", {}, { buildArgs: { V: value } });
  const one = await args("1");
  assert.notEqual((await args("2")).imageId, one.imageId);
  assert.equal((await args("1")).imageId, one.imageId);
});

const CONTEXT: Files = {
  "a.txt": "hi\n", "dir/": { mode: 0o750 }, "dir/b": "b\n", "dir/sub/": {}, "dir/sub/c": "c\n", "link": { type: "symlink", linkName: "a.txt" }, "hard": { type: "link", linkName: "a.txt" },
  "empty": "", "with space": "s", "ä": "utf8",
};

test("COPY: destinations, owners, modes, links, wildcards", async () => {
  const dockerfile = "FROM bb:1\nCOPY --chown=node:node a.txt /srv/x/\nCOPY --chown=1:2 --chmod=600 dir /srv/x/\nCOPY a.txt dir/b link /multi/\nCOPY [\"with space\", \"ä\", \"/multi/\"]\nCOPY *.txt /lib/\nWORKDIR /w\nCOPY . .\n";
  const image = await resolve((await ok(dockerfile, CONTEXT)).imageId);
  assert.deepEqual(await entries(image, -7), ["srv/ 755 1000:1001 0", "srv/x/ 755 1000:1001 0", "srv/x/a.txt 644 1000:1001 3"]);
  assert.deepEqual(await entries(image, -6), ["srv/ 755 1000:1001 0", "srv/x/ 755 1000:1001 0", "srv/x/b 600 1:2 2", "srv/x/sub/ 600 1:2 0", "srv/x/sub/c 600 1:2 2"]);
  assert.deepEqual(await entries(image, -5), ["multi/ 755 0:0 0", "multi/a.txt 644 0:0 3", "multi/b 644 0:0 2", "multi/link 644 0:0 3"]);
  assert.deepEqual((await entries(image, -3)), ["usr/ 755 0:0 0", "usr/lib/ 755 0:0 0", "usr/lib/a.txt 644 0:0 3"], "a link of the image is followed within it");
  const all = await entries(image);
  assert.ok(all.includes("w/link 777 0:0 ->a.txt") || all.some((row) => row.startsWith("w/link ") && row.endsWith("->a.txt")));
  assert.ok(all.some((row) => row.startsWith("w/hard ") && row.endsWith("->w/a.txt")));
  assert.match((image.config["history"] as { created_by: string }[])[1]!.created_by, /^\/bin\/sh -c #\(nop\) COPY --chown=node:nodefile:[0-9a-f]{64} in \/srv\/x\/ $/);
  // The layer is on this host as it is in the store.
  const shown = await ok(`FROM ${image.id}\nRUN cat /srv/x/a.txt /multi/link '/multi/with space' /w/dir/sub/c /usr/lib/a.txt; stat -c '%u:%g %a %Y' /srv/x/b /w/a.txt; ls /w | sort\n`);
  assert.match(shown.text, /hi\nhi\nsc\nhi\n1:2 600 1600000000\n0:0 644 1600000000\n\?\?\nDockerfile\na\.txt\ndir\nempty\nhard\nlink\n/);
});

test("COPY comes from the cache by content: times do not count, bytes and modes do", async () => {
  const dockerfile = "FROM bb:1\nCOPY dir /d\n";
  const first = await ok(dockerfile, CONTEXT);
  const again = await ok(dockerfile, { ...CONTEXT, "dir/b": { data: Buffer.from("b\n"), mtimeNs: 5n }, "unrelated": "x" });
  assert.equal(again.imageId, first.imageId);
  assert.match(again.text, /COPY dir \/d\n ---> Using cache\n/);
  assert.notEqual((await ok(dockerfile, { ...CONTEXT, "dir/b": "B\n" })).imageId, first.imageId);
  assert.notEqual((await ok(dockerfile, { ...CONTEXT, "dir/b": { data: Buffer.from("b\n"), mode: 0o755 } })).imageId, first.imageId);
  assert.notEqual((await ok(dockerfile, CONTEXT, { noCache: true })).imageId, first.imageId);
});

test("what the cache says is checked: lies in front of it and images that are gone change nothing", async () => {
  const dockerfile = "FROM bb:1\nENV CACHE=check\nENV MORE=1\n";
  const first = await ok(dockerfile);
  const lie = await ok("FROM bb:1\nENV OTHER=1\n");
  const set = cache.get.bind(cache);
  cache.get = async () => lie.imageId;
  try {
    assert.equal((await ok(dockerfile)).imageId, first.imageId);
  } finally {
    cache.get = set;
  }
  await bus.call(imageRemove, { ref: first.imageId, force: true, prune: true });
  const rebuilt = await ok(dockerfile);
  assert.notEqual(rebuilt.imageId, first.imageId);
  assert.equal((await resolve(rebuilt.imageId)).id, rebuilt.imageId);
});

test("errors of copies, in Docker's words", async () => {
  const error = async (line: string) => (await run(`FROM bb:1\n${line}\n`, CONTEXT)).error;
  assert.equal(await error("COPY nope /x"), "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist");
  assert.equal(await error("ADD nope* /x"), "ADD failed: no source files were specified");
  assert.equal(await error("COPY ../x /x"), "COPY failed: forbidden path outside the build context: ../x ()");
  assert.equal(await error("COPY a.txt dir /x"), "When using COPY with more than one source file, the destination must be a directory and end with a /");
  assert.equal(await error("COPY --chown=nope a.txt /"), "unable to convert uid/gid chown string to host mapping: can't find uid for user nope: no such user: nope");
  assert.equal(await error("COPY --from=bb:1 /nope /x"), "COPY failed: stat nope: file does not exist");
  assert.equal(await error("COPY --from=0 a /x"), "invalid from flag value 0: refers to current build stage");
  assert.match((await error("COPY --from=127.0.0.1:1/nosuch:1 a /x"))!, /^invalid from flag value 127\.0\.0\.1:1\/nosuch:1: /);
  assert.equal(await error("ENV a=${b^}"), "failed to process \"${b^}\": unsupported modifier (^) in substitution");
  assert.equal(await error("COPY dir /etc/passwd"), "failed to copy files: failed to copy directory: mkdir /etc/passwd: not a directory");
  assert.equal(await error("WORKDIR /etc/passwd"), "Cannot mkdir: /etc/passwd is not a directory");
  assert.equal((await run("FROM bb:1\nRUNN x\n")).error, "dockerfile parse error line 2: unknown instruction: RUNN (did you mean RUN?)");
  assert.deepEqual((await run("FROM bb:1\nRUNN x\n")).messages, [], "nothing is told of a build that never began");
  assert.equal((await run("FROM bb:1\n", {}, { dockerfile: "nope" })).error, "Cannot locate specified Dockerfile: nope");
  assert.equal((await run("FROM bb:1\n", {}, { target: "nope" })).error, "failed to reach build target nope in Dockerfile");
  assert.match((await run("FROM sha256:" + "0".repeat(64))).error!, /No such image/);
  assert.match((await outcomeOf(await submit(Buffer.from("this is no tar archive at all".repeat(100))))).error!, /invalid tar/);
});

test("stages: FROM and COPY --from, by name, index and image; scratch; targets; triggers", async () => {
  const dockerfile = "FROM bb:1 AS build\nRUN mkdir -p /out/d && echo one > /out/d/f && ln /out/d/f /out/d/g && ln -s f /out/d/l\nONBUILD RUN echo triggered > /t\nFROM scratch AS side\nCOPY --from=bb:1 /etc/group /\nFROM scratch AS last\nCOPY --from=build /out /o\nCOPY --from=1 /group /o/\nCOPY --from=build /out/d/[fg] /w/\nFROM build\nRUN cat /t\n";
  const target = await ok(dockerfile, {}, { target: "last" });
  const image = await resolve(target.imageId);
  assert.deepEqual(await entries(image, 0), ["o/ 755 0:0 0", "o/d/ 755 0:0 0", "o/d/f 644 0:0 4", "o/d/g 644 0:0 ->o/d/f", "o/d/l 777 0:0 ->f"]);
  assert.deepEqual(await entries(image, 1), ["o/ 755 0:0 0", "o/group 644 0:0 23"]);
  assert.match(target.text, /Step 4\/9 : FROM scratch AS side\n ---> \nStep 5\/9/);
  const all = await ok(dockerfile);
  assert.match(all.text, /Step 10\/11 : FROM build\n# Executing 1 build trigger\n ---> Running in [0-9a-f]{12}\nRemoving intermediate container [0-9a-f]{12}\n ---> [0-9a-f]{12}\nStep 11\/11 : RUN cat \/t\n ---> Running in [0-9a-f]{12}\ntriggered\n/);
  assert.match(all.text, /COPY --from=build \/out \/o\n ---> Using cache\n/);
  assert.equal(all.messages.filter((m) => m.aux).length, 4, "an ID for each stage");
});

test("ADD: archives are extracted, URLs fetched; here-documents", async () => {
  const inner = tarOf({ "x/": {}, "x/y": { data: Buffer.from("why\n"), uid: 5, gid: 6 } });
  const served = createServer((request, response) => {
    if (request.url === "/gone") { response.statusCode = 404; response.end(); return; }
    if (request.url === "/moved") { response.writeHead(302, { location: "/file.txt" }).end(); return; }
    response.setHeader("last-modified", "Sun, 13 Sep 2020 12:26:40 GMT");
    response.end("from afar\n");
  });
  await new Promise<void>((done) => served.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(served.address() as AddressInfo).port}`;
  try {
    const archives: Files = {
      "a.tar": { data: inner }, "a.tgz": { data: gzipSync(inner) }, "a.zst": { data: zstdCompressSync(inner) }, "text.gz": { data: gzipSync("not a tar") },
    };
    const dockerfile = `FROM bb:1\nADD a.tar /tar/\nADD a.tgz /gz\nADD --chown=7:8 a.zst /zst\nADD text.gz /plain/\nADD ${url}/file.txt /url/\nADD ${url}/moved /named\nCOPY <<EOF <<'RAW' /doc/\nhello $TAR\nEOF\n$TAR\nRAW\nRUN <<EOF\nset -e\necho "script $0"\nEOF\nRUN <<EOF\n#!/bin/sh -e\necho "program $0"\nEOF\n`;
    const { imageId, text } = await ok(dockerfile, archives);
    const image = await resolve(imageId);
    assert.deepEqual(await entries(image, 1), ["tar/ 755 0:0 0", "tar/x/ 755 0:0 0", "tar/x/y 644 5:6 4"]);
    assert.deepEqual(await entries(image, 2), ["gz/ 755 0:0 0", "gz/x/ 755 0:0 0", "gz/x/y 644 5:6 4"]);
    assert.deepEqual(await entries(image, 3), ["zst/ 755 7:8 0", "zst/x/ 755 7:8 0", "zst/x/y 644 7:8 4"]);
    assert.match((await entries(image, 4))[1]!, /^plain\/text\.gz 644 0:0 /);
    assert.deepEqual(await entries(image, 5), ["url/ 755 0:0 0", "url/file.txt 600 0:0 10"]);
    assert.deepEqual(await entries(image, 6), ["named 600 0:0 10"]);
    assert.deepEqual(await entries(image, 7), ["doc/ 755 0:0 0", "doc/EOF 644 0:0 7", "doc/RAW 644 0:0 5"]);
    assert.match(text, /\nscript \/bin\/sh\n/);
    assert.match(text, /\nprogram \/dev\/pipes\/EOF\n/);
    assert.match((await run(`FROM bb:1\nADD ${url}/gone /x\n`)).error!, /^ADD failed: failed to GET .* with status 404 Not Found$/);
    assert.match((await run(`FROM bb:1\nADD --checksum=sha256:${"0".repeat(64)} ${url}/file.txt /x\n`)).error!, /digest mismatch/);
  } finally {
    served.close();
    served.closeAllConnections();
  }
});

test("contexts: gzip and zstd, another Dockerfile, .dockerignore hides itself", async () => {
  const files: Files = { Dockerfile: "FROM nothing\n", "docker/Other": "FROM bb:1\nCOPY . /c/\nRUN find /c -type f | sort\n", ".dockerignore": ".dockerignore\ndocker/Other\n", kept: "1" };
  for (const compress of [(b: Buffer) => b, gzipSync, zstdCompressSync]) {
    const { text } = await outcomeOf(await submit(compress(tarOf(files)), { dockerfile: "docker/Other" }));
    assert.match(text, /\n\/c\/Dockerfile\n\/c\/kept\n|Using cache/);
  }
  assert.deepEqual(readdirSync(join(dir, "build/steps")), []);
});

test("limits of the build hold for its steps", async () => {
  const { text } = await ok("FROM bb:1\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; grep shm /proc/mounts\n", {}, { memory: 64 * 1024 * 1024, shmSize: 1024 * 1024 });
  assert.match(text, /\n67108864\n/);
  assert.match(text, / \/dev\/shm tmpfs [^\n]*size=1024k/);
});

test("quiet builds tell the ID only, and everything when they fail", async () => {
  const quiet = await ok("FROM bb:1\nENV Q=1\n", {}, { quiet: true, tags: ["q"] });
  assert.deepEqual(quiet.messages, [{ stream: `${quiet.imageId}\n` }]);
  assert.equal((await resolve("q")).id, quiet.imageId);
  assert.match((await run("FROM bb:1\nRUN false\n", {}, { quiet: true })).text, /^Step 1\/2 : FROM bb:1\n/);
});

test("a build is cancelled while it runs, and while it waits; its step is killed", async () => {
  const id = await submit(tarOf({ Dockerfile: "FROM bb:1\nRUN echo begun; sleep 1000\n" }));
  for await (const { message, end } of follow(id)) {
    if (message?.stream === "begun\n") await bus.call(buildCancel, { id });
    if (end !== undefined) assert.deepEqual(end, { state: "cancelled", imageId: null, error: "build cancelled" });
  }
  assert.equal((await bus.call(buildGet, { id })).state, "cancelled");
  await bus.call(buildCancel, { id });
  await assert.rejects(bus.call(buildCancel, { id: newId() }), { code: "NO_SUCH_BUILD" });

  const busy = await Promise.all([1, 2].map(() => submit(tarOf({ Dockerfile: "FROM bb:1\nRUN echo begun; sleep 1000\n" }))));
  for (const each of busy) for await (const { message } of follow(each)) if (message?.stream === "begun\n") break;
  const waiting = await submit(tarOf({ Dockerfile: "FROM bb:1\nENV W=1\n" }));
  assert.equal((await bus.call(buildGet, { id: waiting })).state, "queued");
  await bus.call(buildCancel, { id: waiting });
  assert.equal((await outcomeOf(waiting)).state, "cancelled");
  const next = await submit(tarOf({ Dockerfile: "FROM bb:1\nENV W=2\n" }));
  for (const each of busy) await bus.call(buildCancel, { id: each });
  assert.equal((await outcomeOf(next)).state, "succeeded", "a slot that is free takes what waits");
});

test("a build whose worker stops goes on with the next one, without a cache too, and its followers with it", async () => {
  const context = tarOf({ Dockerfile: "FROM bb:1\nRUN echo once > /once\nRUN echo begun; sleep 2\n" });
  await outcomeOf(await submit(tarOf({ Dockerfile: "FROM bb:1\nRUN echo once > /once\n" })));
  const id = await submit(context, { noCache: true });
  let last = -1;
  for await (const { seq, message } of follow(id)) {
    last = seq;
    if (message?.stream === "begun\n") break;
  }
  await restart();
  let text = "";
  for await (const { seq, message, end } of follow(id, last + 1)) {
    assert.ok(seq > last);
    text += message?.stream ?? "";
    if (end !== undefined) assert.equal(end.state, "succeeded");
  }
  // What was told before the stop is not told again; the program that was cut off is begun anew.
  assert.match(text, /^ ---> Running in [0-9a-f]{12}\nRemoving intermediate container [0-9a-f]{12}\n ---> [0-9a-f]{12}\nSuccessfully built [0-9a-f]{12}\n$/);
  const { steps } = await bus.call(buildSteps, { id });
  assert.deepEqual(steps.map(({ state, attempt }) => [state, attempt]), [["done", 1], ["done", 1], ["done", 1]]);
  assert.deepEqual((await snapshots.list()).filter(({ key }) => key.startsWith("build-")), []);
});

test("jobs are listed without credentials; the same ID submits once", async () => {
  const { digest } = await content.ingest(inChunks(tarOf({ Dockerfile: "FROM bb:1\n" })), { volatile: true });
  const id = newId();
  const spec = { ...SPEC, context: digest, auth: { "registry": { password: "secret" } } };
  await Promise.all([bus.call(buildSubmit, { id, spec }), bus.call(buildSubmit, { id, spec })]);
  assert.deepEqual((await bus.call(buildGet, { id })).spec.auth, {});
  assert.equal((await outcomeOf(id)).state, "succeeded");
  const { jobs } = await bus.call(buildList, { limit: 1 });
  assert.equal(jobs.length, 1);
  assert.equal(jobs[0]!.id, id);
  assert.equal(jobs[0]!.attempts, 1);
  assert.doesNotMatch(JSON.stringify(await bus.call(buildList, { limit: 1000 })), /secret/);
  await assert.rejects(bus.call(buildSubmit, { id: newId(), spec: { ...spec, tags: ["Not A Tag"] } }), { code: "INVALID" });
});

test("--cache-from takes steps from the history of an image", async () => {
  const dockerfile = "FROM bb:1\nENV CF=1\nCOPY a.txt /cf\nENV CF=2\n";
  const source = await ok(dockerfile, CONTEXT, { tags: ["cf:src"] });
  await bus.call(buildCachePrune, { all: true });
  const hit = await ok(dockerfile, CONTEXT, { cacheFrom: ["cf:src", "not:there"] });
  assert.equal(hit.imageId, source.imageId);
  assert.equal(hit.text.match(/Using cache/g)?.length, 3);
});

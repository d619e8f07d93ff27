import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { buildCancel, buildLogs, buildSubmit, type BuildSpec } from "@gantry/contracts";
import { extract } from "tar-stream";
import { openRig, type Rig } from "../test-rig.ts";

const IMAGE = `sha256:${"1".repeat(64)}`;
const line = (seq: number, row: object) => `${JSON.stringify({ seq, ...row })}\n`;
const stream = (seq: number, text: string) => line(seq, { message: { stream: text } });

async function accept(rig: Rig, specs: BuildSpec[]): Promise<void> {
  await rig.serve([on(buildSubmit, async ({ id, spec }) => { specs.push(spec); return { id, logs: rig.services }; }), on(buildLogs, async () => ({ logs: rig.services }))]);
}

test("docker build sends its context, and prints the build's lines", async () => {
  await using rig = await openRig((request, response) => {
    assert.match(request.url!, /^\/v1\/builds\/[0-9a-f]{64}\/logs\?from=0&follow=1$/);
    response.write(stream(0, "Step 1/1 : FROM scratch\n"));
    response.write(stream(1, " ---> 111111111111\n") + line(2, { message: { aux: { ID: IMAGE } } }));
    response.end(stream(3, "Successfully built 111111111111\n") + line(4, { end: { state: "succeeded", imageId: IMAGE, error: null } }));
  });
  const specs: BuildSpec[] = [];
  await accept(rig, specs);
  const context = join(rig.dir, "context");
  await mkdir(context);
  await writeFile(join(context, "Dockerfile"), "FROM scratch\n");
  const built = await rig.docker(["build", "-t", "me/app:1", "--build-arg", "A=1", "--label", "l=v", context]);
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stdout, /^Sending build context to Docker daemon +[0-9.]+k?B\r?\r?\n?[^]*Step 1\/1 : FROM scratch\n ---> 111111111111\nSuccessfully built 111111111111\n$/);
  const spec = specs[0]!;
  assert.deepEqual([spec.tags, spec.buildArgs, spec.labels, spec.rm], [["me/app:1"], { A: "1" }, { l: "v" }, true]);
  const names: string[] = [];
  const tar = extract();
  tar.on("entry", (header, body, next) => { names.push(header.name); body.resume(); next(); });
  tar.end(await buffer(await rig.content.open(spec.context!)));
  await once(tar, "finish");
  assert.deepEqual(names, ["Dockerfile"]);
});

test("a build service that restarts is asked for the rest of the log", async () => {
  const asked: string[] = [];
  const seen = Promise.withResolvers<void>();
  await using rig = await openRig((request, response) => {
    asked.push(request.url!.split("?")[1]!);
    if (asked.length === 1) {
      response.write(stream(0, "one\n"));
      return void seen.promise.then(() => response.destroy());
    }
    if (asked.length === 2) return response.writeHead(503).end('{"message":"starting","code":"UNAVAILABLE"}');
    response.end(stream(1, "two\n") + line(2, { end: { state: "succeeded", imageId: IMAGE, error: null } }));
  });
  await accept(rig, []);
  const request = http.request({ socketPath: rig.socket, method: "POST", path: "/build", agent: false }).end();
  const [response] = await once(request, "response") as [http.IncomingMessage];
  let text = "";
  response.on("data", (chunk) => { text += chunk; seen.resolve(); });
  await once(response, "end");
  assert.equal(text, '{"stream":"one\\n"}\r\n{"stream":"two\\n"}\r\n');
  assert.deepEqual(asked.map((query) => query.split("&")[0]), ["from=0", "from=1", "from=1"]);
});

test("a failed build ends with its error; one that fails before its first line is refused", async () => {
  let first = true;
  await using rig = await openRig((_request, response) => {
    const end = line(1, { end: { state: "failed", imageId: null, error: "The command '/bin/sh -c false' returned a non-zero code: 1" } });
    response.end((first ? stream(0, "Step 1/1 : RUN false\n") : "") + end);
    first = false;
  });
  await accept(rig, []);
  const late = await rig.request("POST", "/build");
  assert.equal(late.status, 200);
  assert.deepEqual(JSON.parse(late.text.split("\r\n")[1]!), {
    errorDetail: { message: "The command '/bin/sh -c false' returned a non-zero code: 1" }, error: "The command '/bin/sh -c false' returned a non-zero code: 1" });
  const early = await rig.request("POST", "/build");
  assert.equal(early.status, 400);
  assert.match(early.message, /non-zero code: 1/);
});

test("a client that goes away cancels its build", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<string>();
  await using rig = await openRig((_request, response) => { response.write(stream(0, "one\n")); });
  let submitted = "";
  await rig.serve([
    on(buildSubmit, async ({ id }) => { submitted = id; return { id, logs: rig.services }; }),
    on(buildCancel, async ({ id }) => { resolve(id); return {}; }),
  ]);
  const request = http.request({ socketPath: rig.socket, method: "POST", path: "/build", agent: false });
  request.on("error", () => {});
  request.end();
  const [response] = await once(request, "response") as [http.IncomingMessage];
  response.on("error", () => {});
  await once(response, "data");
  request.destroy();
  assert.equal(await cancelled, submitted);
});

test("a remote Dockerfile becomes a context of its own", async () => {
  await using rig = await openRig((request, response) => {
    if (request.url === "/moved") return response.writeHead(302, { location: "/Dockerfile" }).end();
    if (request.url === "/Dockerfile") return response.end("FROM scratch\n");
    response.end(line(0, { end: { state: "succeeded", imageId: IMAGE, error: null } }));
  });
  const server = http.createServer((request, response) => {
    if (request.url === "/moved") return response.writeHead(302, { location: "/Dockerfile" }).end();
    response.writeHead(request.url === "/Dockerfile" ? 200 : 404).end("FROM scratch\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const specs: BuildSpec[] = [];
    await accept(rig, specs);
    assert.equal((await rig.request("POST", `/build?remote=${encodeURIComponent(`http://127.0.0.1:${port}/moved`)}`)).status, 200);
    const tar = String(await buffer(await rig.content.open(specs[0]!.context!)));
    assert.match(tar, /^Dockerfile\0/);
    assert.match(tar, /FROM scratch\n/);
    const missing = await rig.request("POST", `/build?remote=${encodeURIComponent(`http://127.0.0.1:${port}/none`)}`);
    assert.equal(missing.status, 400);
    assert.match(missing.message, /answered 404/);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("BuildKit is told what to do instead", async () => {
  await using rig = await openRig();
  const refused = await rig.request("POST", "/build?version=2");
  assert.equal(refused.status, 400);
  assert.match(refused.message, /DOCKER_BUILDKIT=0/);
});

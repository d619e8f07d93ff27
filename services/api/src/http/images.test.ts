import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { text as readText } from "node:stream/consumers";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { fail, imageHistory, imageInspect, imageList, imagePrune, imageRemove, imageTag } from "@gantry/contracts";
import { DEFAULT_DOMAIN } from "@gantry/oci";
import { openRig } from "../test-rig.ts";

const ID = `sha256:${"b".repeat(64)}`;

test("docker images, history, tag, rmi and image prune", async () => {
  await using rig = await openRig();
  const asked: unknown[] = [];
  await rig.serve([
    on(imageList, async (body) => { asked.push(body); return { images: [{ Id: ID, ParentId: "", RepoTags: ["localhost:5000/a/b:1"], RepoDigests: [], Created: 1_700_000_000, Size: 1_500_000, SharedSize: -1, Labels: {}, Containers: -1 }] }; }),
    on(imageHistory, async ({ ref }) => { asked.push(ref); return { history: [{ Id: ID, Created: 1_700_000_000, CreatedBy: "/bin/sh -c #(nop)  CMD [\"sh\"]", Tags: [], Size: 0, Comment: "" }] }; }),
    on(imageTag, async (body) => { asked.push(body); return { id: ID }; }),
    on(imageRemove, async ({ ref, force, prune }) => {
      asked.push({ ref, force, prune });
      if (!force) throw fail("IMAGE_IN_USE", `conflict: unable to delete ${ref} (must be forced) - image is being used by stopped container 832701d84725`);
      return { rows: [{ Untagged: "localhost:5000/a/b:1" }, { Deleted: ID }] };
    }),
    on(imagePrune, async (body) => { asked.push(body); return { rows: [{ Deleted: ID }], spaceReclaimed: 1_500_000 }; }),
  ]);
  const images = await rig.docker(["images", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}", "--filter", "dangling=false"]);
  assert.equal(images.stdout, "localhost:5000/a/b 1 bbbbbbbbbbbb 1.5MB\n", images.stderr);
  assert.match((await rig.docker(["history", "localhost:5000/a/b:1"])).stdout, /bbbbbbbbbbbb .* \/bin\/sh -c #\(nop\) {2}CMD \["sh"\] +0B/);
  assert.equal((await rig.docker(["tag", "localhost:5000/a/b:1", "c/d:2"])).code, 0);
  const refused = await rig.docker(["rmi", "localhost:5000/a/b:1"]);
  assert.equal(refused.stderr.trim(), "Error response from daemon: conflict: unable to delete localhost:5000/a/b:1 (must be forced) - image is being used by stopped container 832701d84725");
  assert.equal((await rig.docker(["rmi", "-f", "localhost:5000/a/b:1"])).stdout, `Untagged: localhost:5000/a/b:1\nDeleted: ${ID}\n`);
  assert.match((await rig.docker(["image", "prune", "-f"])).stdout, /Total reclaimed space: 1\.5MB/);
  assert.deepEqual(asked, [
    { all: false, filters: { dangling: ["false"] }, digests: false }, "localhost:5000/a/b:1", { ref: "localhost:5000/a/b:1", target: `${DEFAULT_DOMAIN}/c/d:2` },
    { ref: "localhost:5000/a/b:1", force: false, prune: true }, { ref: "localhost:5000/a/b:1", force: true, prune: true }, { filters: { dangling: ["true"] } },
  ]);
});

test("pull, push, load, save and import go to the image store, with credentials, and stream back", async () => {
  const seen: { what: string; auth: string | undefined; body: string }[] = [];
  await using rig = await openRig(async (request: IncomingMessage, response) => {
    const body = await readText(request);
    seen.push({ what: `${request.method} ${request.url}`, auth: request.headers["x-registry-auth"] as string | undefined, body });
    if (request.url!.includes("ref=localhost%3A1%2Fnone")) return response.writeHead(404).end('{"message":"manifest for localhost:1/none:1 not found","code":"NO_SUCH_IMAGE"}');
    if (request.url!.startsWith("/v1/images/save")) return response.end("an archive");
    response.write('{"status":"Pulling from a/b","id":"1"}\r\n');
    response.end(request.url!.includes("/load") ? '{"stream":"Loaded image: a/b:1\\n"}\r\n' : '{"status":"Status: Downloaded newer image for localhost:1/a/b:1"}\r\n');
  });
  await rig.serve([on(imageInspect, async () => ({ image: { Id: ID } }))]);
  const pull = await rig.docker(["pull", "localhost:1/a/b:1"]);
  assert.match(pull.stdout, /1: Pulling from a\/b\n[^]*Status: Downloaded newer image/, pull.stderr);
  const missing = await rig.docker(["pull", "localhost:1/none:1"]);
  assert.equal(missing.stderr, "Error response from daemon: manifest for localhost:1/none:1 not found\n");
  await rig.docker(["push", "localhost:1/a/b:1"]);
  const load = await rig.docker(["load"], { input: "tar bytes" });
  assert.match(load.stdout, /Loaded image: a\/b:1/, load.stderr);
  const saved = await rig.docker(["save", "a/b:1", "c"]);
  assert.equal(saved.stdout, "an archive", saved.stderr);
  await rig.docker(["import", "-c", "CMD sh", "-m", "hello", "-", "new:1"], { input: "root tar" });
  assert.deepEqual(seen.map(({ what }) => what), [
    "POST /v1/images/pull?ref=localhost%3A1%2Fa%2Fb%3A1&platform=", "POST /v1/images/pull?ref=localhost%3A1%2Fnone%3A1&platform=",
    "POST /v1/images/push?ref=localhost%3A1%2Fa%2Fb%3A1", "POST /v1/images/load?quiet=1", "GET /v1/images/save?name=a%2Fb%3A1&name=c",
    "POST /v1/images/import?repo=new%3A1&tag=&message=hello&platform=&change=CMD+sh",
  ]);
  assert.equal(seen[3]!.body, "tar bytes");
  assert.equal(seen[5]!.body, "root tar");
  assert.ok(seen[2]!.auth !== undefined);
});

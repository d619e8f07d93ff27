/** The gantry command's own client, for machines without docker. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MAIN } from "../support/command.ts";
import { Engine, Failed, run } from "./support/engine.ts";
import { startRegistry } from "./support/registry.ts";

let engine: Engine;
before(async () => {
  engine = await Engine.start();
  await engine.loadBase("busybox");
});
after(() => engine[Symbol.asyncDispose]());

async function ok(...args: string[]): Promise<string> {
  const result = await engine.gantry(args);
  if (result.code !== 0) throw new Failed(`gantry ${args.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}`);
  return result.stdout.replace(/\n$/, "");
}

test("run, ps, logs, exec, stop, rm", async () => {
  assert.deepEqual(await engine.gantry(["run", "--rm", "-e", "A=b", "busybox", "sh", "-c", "echo $A; echo err >&2; exit 4"]), { code: 4, stdout: "b\n", stderr: "err\n" });
  assert.equal((await engine.gantry(["run", "--rm", "-i", "busybox", "wc", "-c"], { input: "12345" })).stdout.trim(), "5");
  const missing = await engine.gantry(["run", "--rm", "busybox", "no-such-program"]);
  assert.equal(missing.code, 127);
  const id = await ok("run", "-d", "--name", "steady", "busybox", "sh", "-c", "echo started; exec sleep 1000");
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.match(await ok("ps"), new RegExp(`^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n${id.slice(0, 12)} +busybox .* Up .*steady$`));
  assert.equal(await ok("logs", "steady"), "started");
  assert.equal(await ok("exec", "steady", "echo", "inside"), "inside");
  assert.equal((await engine.gantry(["exec", "steady", "sh", "-c", "exit 6"])).code, 6);
  assert.equal(JSON.parse(await ok("inspect", "steady"))[0].State.Status, "running");
  assert.equal(await ok("stop", "-t", "0", "steady"), "steady");
  assert.match(await ok("commit", "steady", "kept:v1"), /^sha256:/);
  assert.equal(await ok("rm", "steady"), "steady");
  const gone = await engine.gantry(["rm", "steady"]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /No such container: steady/);
});

test("build, images, history, tag, push, pull, rmi", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-client-"));
  try {
    mkdirSync(join(dir, "sub"));
    writeFileSync(join(dir, "Dockerfile"), "FROM busybox\nCOPY . /app\nRUN ls /app > /list\nCMD cat /list\n");
    writeFileSync(join(dir, ".dockerignore"), "*.log\n");
    writeFileSync(join(dir, "sub", "file"), "x");
    writeFileSync(join(dir, "noise.log"), "x");
    const output = await ok("build", "-t", "listed", dir);
    assert.match(output, /Step 4\/4 : CMD cat \/list[\s\S]*Successfully tagged listed:latest/);
    assert.equal(await ok("run", "--rm", "listed"), "Dockerfile\nsub");
    assert.match(await ok("images"), /^listed +latest +[0-9a-f]{12} /m);
    assert.match(await ok("history", "listed"), /\/bin\/sh -c ls \/app > \/list/);
    await using registry = await startRegistry();
    const name = `${registry.address}/team/listed:v2`;
    await ok("tag", "listed", name);
    assert.match(await ok("push", name), /v2: digest: sha256:/);
    assert.match(await ok("rmi", name), /^Untagged: /);
    assert.match(await ok("pull", name), /Status: Downloaded newer image/);
    assert.match(await ok("rmi", "listed", name), /Deleted: sha256:/);
    const failing = await engine.gantry(["build", join(dir, "sub")]);
    assert.equal(failing.code, 1);
    assert.match(failing.stderr, /unable to evaluate symlinks in Dockerfile path/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a build job pushes what it built; one that cannot push has failed", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-push-"));
  try {
    writeFileSync(join(dir, "Dockerfile"), "FROM busybox\nRUN echo pushed > /made\n");
    await using registry = await startRegistry();
    const names = ["v1", "v2"].map((tag) => `${registry.address}/team/pushed:${tag}`);
    const followed = await ok("builds", "submit", "--follow", "--push", ...names.flatMap((name) => ["-t", name]), dir);
    for (const tag of ["v1", "v2"]) {
      assert.match(followed, new RegExp(`^${tag}: digest: sha256:[0-9a-f]{64} size: [0-9]+$`, "m"));
      const manifest = await fetch(`http://${registry.address}/v2/team/pushed/manifests/${tag}`, { headers: { accept: "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json" } });
      assert.equal(manifest.status, 200);
    }
    await ok("rmi", ...names);
    assert.match(await ok("pull", names[0]!), /Status: Downloaded newer image/);
    assert.equal(await ok("run", "--rm", names[0]!, "cat", "/made"), "pushed");

    const refused = await engine.gantry(["builds", "submit", "--follow", "--push", "-t", "localhost:1/team/pushed:v1", dir]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /localhost:1/);
    const failed = await ok("builds", "ls", "-q", "-n", "1");
    const shown = JSON.parse(await ok("builds", "show", "--json", failed)) as { state: string; error: string; imageId: string | null };
    assert.equal(shown.state, "failed");
    assert.match(shown.error, /connection refused|ECONNREFUSED/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("volumes", async () => {
  assert.equal(await ok("volume", "create", "shelf"), "shelf");
  assert.match(await ok("volume", "ls"), /^local +shelf$/m);
  await ok("run", "--rm", "-v", "shelf:/s", "busybox", "touch", "/s/book");
  assert.equal(await ok("run", "--rm", "-v", "shelf:/s", "busybox", "ls", "/s"), "book");
  assert.equal(JSON.parse(await ok("volume", "inspect", "shelf"))[0].Name, "shelf");
  assert.equal(await ok("volume", "rm", "shelf"), "shelf");
});

test("without an engine, and with words it does not know, it says what to do", async () => {
  const nobody = await run(process.execPath, [MAIN, "ps"], { env: { DOCKER_HOST: "unix:///no/such.sock" } });
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /Cannot connect to Gantry at unix:\/\/\/no\/such\.sock\. Is it running\? \(npm start\)/);
  assert.notEqual((await engine.gantry(["frobnicate"])).code, 0);
  const build = await run(process.execPath, [MAIN, "build"]);
  assert.match(build.stderr, /gantry build needs a context/);
  const second = await engine.gantry(["up", "--state-dir", engine.dir]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /already runs on this state directory/);
});

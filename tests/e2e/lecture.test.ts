/** Every command that the lecture shows, through the stock docker command; the shape of the output is the lecture's. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveAptRepository } from "./support/apt-repository.ts";
import { Engine, ROOT } from "./support/engine.ts";
import { startRegistry } from "./support/registry.ts";

let engine: Engine;
let dir: string;
const scope = new AsyncDisposableStack();

before(async () => {
  engine = scope.use(await Engine.start());
  dir = mkdtempSync(join(tmpdir(), "gantry-lecture-"));
  scope.defer(() => rmSync(dir, { recursive: true }));
  for (const base of ["busybox", "debian", "node"] as const) await engine.loadBase(base);
});
after(() => scope.disposeAsync());

const HEX = "[0-9a-f]{12}";
const CREATED = "(?:Less than a second|About a minute|[0-9]+ (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)) ago";

/** Lines as the lecture prints them: each pattern is a whole line, blanks between columns do not count. */
function matchLines(output: string, patterns: readonly (string | RegExp)[]): void {
  const lines = output.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const shape = patterns.map((p) => (typeof p === "string" ? p : p.source));
  assert.equal(lines.length, patterns.length, `expected ${patterns.length} lines like\n${shape.join("\n")}\ngot\n${output}`);
  for (const [i, pattern] of patterns.entries()) {
    if (typeof pattern === "string") assert.equal(lines[i], pattern);
    else assert.match(lines[i]!, new RegExp(`^${pattern.source}$`, pattern.flags));
  }
}

const re = (text: string) => new RegExp(text);

test("docker build . twice: steps run, then come from the cache; docker run, history and image rm", async () => {
  const context = join(dir, "test");
  writeContext(context, { Dockerfile: "FROM debian:bookworm-slim\nRUN date > /home/123456.txt\nCMD cat /home/123456.txt\n" });

  const first = await engine.ok(["build", "."], { cwd: context });
  matchLines(first, [
    /Sending build context to Docker daemon\s+[0-9.]+kB/,
    "Step 1/3 : FROM debian:bookworm-slim", re(`---> ${HEX}`),
    "Step 2/3 : RUN date > /home/123456.txt", re(`---> Running in ${HEX}`), re(`Removing intermediate container ${HEX}`), re(`---> ${HEX}`),
    "Step 3/3 : CMD cat /home/123456.txt", re(`---> Running in ${HEX}`), re(`Removing intermediate container ${HEX}`), re(`---> ${HEX}`),
    re(`Successfully built ${HEX}`),
  ]);
  const id = /Successfully built ([0-9a-f]{12})/.exec(first)![1]!;

  const second = await engine.ok(["build", "."], { cwd: context });
  matchLines(second, [
    /Sending build context to Docker daemon\s+[0-9.]+kB/,
    "Step 1/3 : FROM debian:bookworm-slim", re(`---> ${HEX}`),
    "Step 2/3 : RUN date > /home/123456.txt", "---> Using cache", re(`---> ${HEX}`),
    "Step 3/3 : CMD cat /home/123456.txt", "---> Using cache", `---> ${id}`,
    `Successfully built ${id}`,
  ]);

  assert.match(await engine.ok(["run", id]), /^[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]+ [0-9:]{8} UTC [0-9]{4}$/);

  matchLines(await engine.ok(["history", id]), [
    /IMAGE\s+CREATED\s+CREATED BY\s+SIZE\s+COMMENT/,
    re(`${id}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  CMD \\["/bin/sh" "-c" "cat …\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c date > /home/123456.txt\\s+29B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  CMD \\["bash"\\]\\s+0B`),
    re(`<missing>\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\) ADD file:[0-9a-f]+…\\s+[0-9.]+MB`),
  ]);

  const container = await engine.ok(["ps", "-aq", "--filter", `ancestor=${id}`]);
  const refused = await engine.docker(["image", "rm", id]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, re(`^Error response from daemon: conflict: unable to delete ${id} \\(must be forced\\) - image is being used by stopped container ${container}`));
  matchLines(await engine.ok(["image", "rm", "-f", id]), [re(`Deleted: sha256:${id}[0-9a-f]{52}`), /Deleted: sha256:[0-9a-f]{64}/]);
  assert.equal((await engine.docker(["image", "inspect", id])).code, 1);
  await engine.ok(["rm", container]);
});

test("the pinger and the pingrelay: history shows their own steps and the shared base", async () => {
  for (const name of ["pinger", "pingrelay"]) {
    const output = await engine.ok(["build", "-t", name, join(ROOT, "examples", name)]);
    assert.match(output, re(`Step 1/7 : FROM node:26-slim`));
    assert.match(output, re(`Successfully built ${HEX}\nSuccessfully tagged ${name}:latest$`));
  }
  const history = (await engine.ok(["image", "history", "pinger"])).split("\n");
  const shape = (port: number) => [
    /IMAGE\s+CREATED\s+CREATED BY\s+SIZE\s+COMMENT/,
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  CMD \\["/bin/sh" "-c" "node…\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  EXPOSE ${port}\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  ENV PORT=${port}\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\) WORKDIR /home\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\) COPY dir:[0-9a-f]+…\\s+[0-9.]+k?B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  USER node\\s+0B`),
    re(`${HEX}\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  CMD \\["node"\\]\\s+0B`),
    re(`<missing>\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\)  ENV NODE_VERSION=[0-9.]+\\s+0B`),
    re(`<missing>\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\) COPY file:[0-9a-f]+…\\s+[0-9.]+MB`),
    re(`<missing>\\s+${CREATED}\\s+/bin/sh -c #\\(nop\\) ADD file:[0-9a-f]+…\\s+[0-9.]+MB`),
  ];
  matchLines(history.join("\n"), shape(8893));
  const relay = (await engine.ok(["history", "pingrelay"])).split("\n");
  matchLines(relay.join("\n"), shape(8894));
  const ids = (lines: string[]) => lines.slice(1).map((line) => line.split(/\s+/)[0]!);
  assert.deepEqual(ids(history).slice(5), ids(relay).slice(5), "from USER node down both are the same images");

  const step = ids(history)[4]!;
  const [image] = JSON.parse(await engine.ok(["inspect", step])) as { RootFS: { Type: string; Layers: string[] } }[];
  assert.equal(image!.RootFS.Type, "layers");
  assert.equal(image!.RootFS.Layers.length, 3);
  for (const layer of image!.RootFS.Layers) assert.match(layer, /^sha256:[0-9a-f]{64}$/);
  const stepHistory = (await engine.ok(["history", step])).split("\n");
  assert.deepEqual(ids(stepHistory), ids(history).slice(4), "the history of an intermediate image is the lower part");
});

test("docker image ls: names, dangling images as <none>; build -f and -t name a dangling one", async () => {
  const context = join(dir, "exercise");
  writeContext(context, { "Dockerfile.gcc": "FROM busybox\nCOPY hello.c /src/\nRUN cat /src/hello.c > /hello\nCMD [\"cat\", \"/hello\"]\n", "hello.c": "int main(void) { return 0; }\n" });
  const built = await engine.ok(["build", "-f", "Dockerfile.gcc", "."], { cwd: context });
  const id = /Successfully built ([0-9a-f]{12})/.exec(built)![1]!;
  const listed = (await engine.ok(["image", "ls"])).split("\n");
  assert.match(listed[0]!, /^REPOSITORY\s+TAG\s+IMAGE ID\s+CREATED\s+SIZE$/);
  assert.ok(listed.some((line) => re(`^<none>\\s+<none>\\s+${id}\\s+${CREATED}\\s+[0-9.]+[kM]B$`).test(line)), listed.join("\n"));
  const tagged = await engine.ok(["build", "-f", "Dockerfile.gcc", "-t", "gcc-hello", "."], { cwd: context });
  assert.match(tagged, re(`Successfully built ${id}\nSuccessfully tagged gcc-hello:latest$`));
  const again = (await engine.ok(["image", "ls"])).split("\n");
  assert.ok(again.some((line) => re(`^gcc-hello\\s+latest\\s+${id}\\s+${CREATED}\\s+[0-9.]+[kM]B$`).test(line)), again.join("\n"));
  assert.ok(!again.some((line) => line.startsWith("<none>") && line.includes(id)));
});

test("docker pull: each layer, the digest and the status", async () => {
  await using registry = await startRegistry();
  const name = `${registry.address}/redis:3.2.11-alpine`;
  const context = join(dir, "redis");
  writeContext(context, { Dockerfile: "FROM scratch\nCOPY config /redis.conf\n", config: "port 6379\n" });
  await engine.ok(["build", "-t", name, context]);
  const pushed = await engine.ok(["push", name]);
  assert.match(pushed, re(`^The push refers to repository \\[${registry.address}/redis\\]\n`));
  assert.match(pushed, re(`${HEX}: Pushed\n`));
  assert.match(pushed, /3\.2\.11-alpine: digest: sha256:[0-9a-f]{64} size: [0-9]+$/m);
  await engine.ok(["rmi", name]);
  const pulled = await engine.ok(["pull", name]);
  matchLines(pulled, [
    "3.2.11-alpine: Pulling from redis",
    re(`${HEX}: Pulling fs layer`), re(`${HEX}: Verifying Checksum`), re(`${HEX}: Download complete`), re(`${HEX}: Pull complete`),
    /Digest: sha256:[0-9a-f]{64}/, `Status: Downloaded newer image for ${name}`, name,
  ]);
  assert.match(await engine.ok(["pull", name]), re(`Status: Image is up to date for ${name}`));
});

test("the sample Dockerfile: apt-get update, apt-get install -y nginx", async () => {
  const host = await engine.ok(["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
  const dpkgStatus = await engine.ok(["run", "--rm", "debian:bookworm-slim", "cat", "/var/lib/dpkg/status"]);
  await using repository = await serveAptRepository({ packages: ["nginx"], dpkgStatus: `${dpkgStatus}\n`, host });
  const base = join(dir, "ubuntu");
  writeContext(base, { Dockerfile: `FROM debian:bookworm-slim\nRUN rm -rf /etc/apt/sources.list.d/* && echo '${repository.sources}' > /etc/apt/sources.list\n` });
  await engine.ok(["build", "-t", "ubuntu", base]);

  const sample = join(dir, "sample");
  writeContext(sample, { Dockerfile: "#This is a sample Image\nFROM ubuntu\nMAINTAINER demousr@gmail.com\nRUN apt-get update\nRUN apt-get install -y nginx\nCMD [\"echo\", \"Image created\"]\n" });
  const output = await engine.ok(["build", "-t", "sample", sample], { timeoutMs: 180_000 });
  assert.match(output, /Step 2\/5 : MAINTAINER demousr@gmail\.com/);
  assert.match(output, /Setting up nginx /);
  assert.ok(repository.requests.some((name) => name.startsWith("nginx_")));
  assert.equal(await engine.ok(["run", "--rm", "sample"]), "Image created");
  assert.match((await engine.docker(["run", "--rm", "sample", "nginx", "-v"])).stderr, /^nginx version: /);
  assert.equal(await engine.ok(["inspect", "-f", "{{.Author}}", "sample"]), "demousr@gmail.com");
});

test("the commands of the lecture's table", async () => {
  const id = await engine.ok(["run", "-d", "--name", "web", "-p", "127.0.0.1::8893", "-v", "data:/data", "pinger"]);
  matchLines(await engine.ok(["container", "ls"]), [
    /CONTAINER ID\s+IMAGE\s+COMMAND\s+CREATED\s+STATUS\s+PORTS\s+NAMES/,
    re(`${id.slice(0, 12)}\\s+pinger\\s+"/bin/sh -c 'node pi…"\\s+${CREATED}\\s+Up (?:Less than a second|[0-9]+ seconds?)\\s+127\\.0\\.0\\.1:[0-9]+->8893/tcp\\s+web`),
  ]);
  assert.equal(await engine.ok(["ps", "-q"]), id.slice(0, 12));
  assert.equal(await engine.ok(["exec", "-u", "root", "web", "sh", "-c", "echo in $(pwd); touch /data/kept"]), "in /home");
  assert.equal(await engine.ok(["volume", "ls", "-q"]), "data");
  assert.equal(await engine.ok(["inspect", "-f", "{{.State.Status}} {{.Config.User}}", "web"]), "running node");
  assert.equal(await engine.ok(["stop", "-t", "5", "web"]), "web");
  assert.match(await engine.ok(["commit", "web", "web-image"]), /^sha256:[0-9a-f]{64}$/);
  assert.equal(await engine.ok(["image", "inspect", "-f", "{{.Config.WorkingDir}}", "web-image"]), "/home");
  assert.equal(await engine.ok(["rm", "web"]), "web");
  const swarm = await engine.docker(["swarm", "init"]);
  assert.equal(swarm.code, 1);
  assert.match(swarm.stderr, /swarm/i);
  assert.equal(await engine.ok(["volume", "rm", "data"]), "data");
});

function writeContext(path: string, files: Record<string, string>): void {
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
}

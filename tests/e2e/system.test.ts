/**
 * Gantry builds the images of its own services from a release, and Compose runs the whole system on them: a fleet whose hosts are
 * containers. RabbitMQ, PostgreSQL and Redis are this machine's, for no registry has their images.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveAptRepository } from "./support/apt-repository.ts";
import { startPostgres, startRabbit, startRedis, type TestService } from "@gantry/testkit";
import { ok } from "../support/command.ts";
import { Engine, eventually, Failed, ROOT, run, type Result, type RunOptions } from "./support/engine.ts";
import { forward } from "./support/forward.ts";
import { hostThings, newThings } from "./support/leftovers.ts";

const NODES = ["node-1", "node-2", "node-3"];
const SERVICES = ["api", "build", "image-store", "node-agent", "scheduler"];
const scope = new AsyncDisposableStack();
let engine: Engine;
let release: string;

before(async () => {
  engine = scope.use(await Engine.start());
  release = join(engine.dir, "release");
  await ok(process.execPath, [join(ROOT, "infra/release/main.mjs"), release]);
  for (const base of ["busybox", "debian"] as const) await engine.loadBase(base);
});
after(() => scope.disposeAsync());

const gatewayOf = (network: string): Promise<string> => engine.ok(["network", "inspect", network, "-f", "{{(index .IPAM.Config 0).Gateway}}"]);

test("a release is whole: the command runs wherever it is put, with nothing of the checkout", async () => {
  const link = join(engine.dir, "a link to gantry");
  await ok("ln", ["-s", join(release, "bin/gantry"), link]);
  const env = { ...engine.env(), PATH: "/usr/bin:/bin" };
  assert.match(await ok(link, ["images"], { env, cwd: "/" }), /debian +bookworm-slim/);
  await using whole = await Engine.start({ command: link, args: ["--listen", "127.0.0.1:0"] });
  const address = whole.dashboards[0]!;
  const get = (path: string) => fetch(new URL(path, address), { headers: { authorization: `Bearer ${address.searchParams.get("token")!}` } });
  for (const [path, what] of [["/", "<!doctype html>"], ["/docs/", "swagger-ui"], ["/v1/nodes", '"state":"ready"'], ["/metrics", "# TYPE"]] as const) {
    assert.ok((await (await get(path)).text()).includes(what), path);
  }
  const refused = await run(link, ["node-agent"], { env, cwd: "/" });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^gantry: configuration: GANTRY_BUS_URL is not set \(.*\); /);
});

test("each service has an image, which Gantry builds", async () => {
  const dpkgStatus = await engine.ok(["run", "--rm", "debian:bookworm-slim", "cat", "/var/lib/dpkg/status"]);
  await using repository = await serveAptRepository({ packages: ["libnftables1", "procps", "xz-utils", "bzip2"], dpkgStatus: `${dpkgStatus}\n`, host: await gatewayOf("bridge") });
  const base = join(engine.dir, "base-context");
  mkdirSync(base);
  writeFileSync(join(base, "Dockerfile"), `FROM debian:bookworm-slim\nRUN rm -rf /etc/apt/sources.list.d/* && echo '${repository.sources}' > /etc/apt/sources.list\n`);
  await engine.ok(["build", "-q", "-t", "base", base]);
  await ok(join(ROOT, "infra/images/build.sh"), ["--build-arg", "BASE=base"], { env: { ...engine.env(), RELEASE: release, GANTRY_VERSION: "test" }, timeoutMs: 200_000 });
  const layers = await Promise.all(SERVICES.map(async (service) => {
    const image = JSON.parse(await engine.ok(["image", "inspect", `gantry/${service}:test`])) as [{ Config: { Cmd: string[] }; RootFS: { Layers: string[] } }];
    assert.deepEqual(image[0].Config.Cmd, [service]);
    const refused = await engine.docker(["run", "--rm", `gantry/${service}:test`]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /GANTRY_BUS_URL/);
    return image[0].RootFS.Layers;
  }));
  const shared = layers.reduce((a, b) => a.filter((layer) => b.includes(layer)));
  assert.ok(shared.length >= 5, `the images share ${shared.length} layers`);
  assert.ok(new Set(layers.flat()).size <= shared.length + 4, "a service has more than a layer or two of its own");
});

test("Compose brings the whole system up from them: builds, and containers on three nodes", async (t) => {
  const before = await hostThings(engine.dir);
  await using brokers = new AsyncDisposableStack();
  const started = ["image-store", "scheduler-1", "scheduler-2", "api", "build-1", "build-2", ...NODES];
  const override = join(engine.dir, "elsewhere.yml");
  const runDir = join(engine.dir, "inner");
  const compose = (args: readonly string[], options: RunOptions = {}): Promise<string> => ok("docker-compose", [
    "-p", "system", "-f", join(ROOT, "infra/compose/docker-compose.yml"), ...(existsSync(override) ? ["-f", override] : []), ...args,
  ], { timeoutMs: 200_000, ...options, env: { ...engine.env(), GANTRY_PASSWORD: "brokers-are-elsewhere", GANTRY_VERSION: "test", GANTRY_RUN_DIR: runDir } });
  const inner = (args: readonly string[], options: RunOptions = {}): Promise<Result> => run("docker", args, { ...options, env: { ...engine.env(), DOCKER_HOST: `unix://${runDir}/docker.sock` } });
  const innerOk = async (args: readonly string[], options: RunOptions = {}): Promise<string> => {
    // On a busy machine brokers lose sight of services for a moment; those who ask then are told to try again.
    const result = await eventually(`docker ${args[0]}`, async () => {
      const tried = await inner(args, options);
      return tried.code !== 0 && /try again later/.test(tried.stderr) ? null : tried;
    });
    if (result.code !== 0) throw new Failed(`docker ${args.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}\n${await compose(["logs", "--tail=20"])}`);
    return result.stdout.trimEnd();
  };
  const gantry = (...args: string[]): Promise<Result> => engine.gantry(["-H", `unix://${runDir}/docker.sock`, ...args]);
  const allReady = async (): Promise<boolean> => {
    const nodes = await gantry("node", "ls", "-q");
    return nodes.stdout.split("\n").filter((id) => NODES.includes(id)).length === NODES.length && (await inner(["images"])).code === 0;
  };
  try {
    await compose(["run", "--rm", "--no-deps", "certificates"]);
    // At an address of the fleet's own network: hosts give their containers no subnet that is theirs.
    const host = await gatewayOf("system_fleet");
    const at = async (service: TestService): Promise<string> => {
      const url = new URL(brokers.use(service).url);
      return url.href.replace(url.host, `${host}:${brokers.use(await forward(host, Number(url.port))).port}`).replace(/\/$/, "");
    };
    const [bus, database, cache] = await Promise.all([startRabbit().then(at), startPostgres().then(at), startRedis().then(at)]);
    const environment = { GANTRY_BUS_URL: bus, GANTRY_DATABASE_URL: database, GANTRY_CACHE_URL: cache };
    writeFileSync(override, JSON.stringify({ services: Object.fromEntries(started.map((name) => [name, { environment }])) }));
    await compose(["up", "-d", "--no-deps", ...started]);
    await eventually("every service to be there", allReady, 120_000)
      .catch(async (e: unknown) => { t.diagnostic(await compose(["logs", "--tail=30"])); throw e; });

    const image = join(engine.dir, "busybox.tar");
    await engine.ok(["save", "-o", image, "busybox"]);
    assert.equal(await innerOk(["load", "-i", image]), "Loaded image: busybox:latest");
    const context = join(engine.dir, "inner-context");
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), "FROM busybox\nRUN echo built on $(hostname) > /made && test $(id -u) = 0\nCMD hostname; cat /made; exec sleep 1000\n");
    assert.match(await innerOk(["build", "-t", "made", context]), /Successfully tagged made:latest/);

    const names = Array.from({ length: 6 }, (_, i) => `inner-${i}`);
    await Promise.all(names.map((name) => innerOk(["run", "-d", "--name", name, "--stop-signal", "KILL", "made"])));
    await Promise.all(names.map(async (name) => {
      await eventually(`output of ${name}`, async () => /built on /.test(await innerOk(["logs", name])));
      assert.equal(await innerOk(["exec", name, "hostname"]), (await innerOk(["logs", name])).split("\n")[0]);
    }));
    const where = await Promise.all(names.map(async (name) => / is on node (\S+),/.exec((await gantry("why", name)).stdout)?.[1]));
    assert.deepEqual([...new Set(where)].toSorted(), NODES);
    await innerOk(["rm", "-f", ...names]);
  } finally {
    await compose(["down", "-v", "--timeout", "10"]);
  }
  assert.deepEqual(newThings(before, await hostThings(engine.dir)), []);
});

/** Gantry builds the images of its own services from a release. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveAptRepository } from "./support/apt-repository.ts";
import { ok } from "../support/command.ts";
import { Engine, ROOT, run } from "./support/engine.ts";

const SERVICES = ["api", "build", "image-store", "node-agent", "scheduler"];
const scope = new AsyncDisposableStack();
let engine: Engine;
let gateway: string;
let release: string;

before(async () => {
  engine = scope.use(await Engine.start());
  release = join(engine.dir, "release");
  await ok(process.execPath, [join(ROOT, "infra/release/main.mjs"), release]);
  for (const base of ["busybox", "debian"] as const) await engine.loadBase(base);
  gateway = await engine.ok(["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
});
after(() => scope.disposeAsync());

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
  await using repository = await serveAptRepository({ packages: ["libnftables1", "procps", "xz-utils", "bzip2"], dpkgStatus: `${dpkgStatus}\n`, host: gateway });
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

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import type { Metafile } from "esbuild";
import { makeBundle } from "./make-bundle.mjs";
import { ROOT } from "./paths.mjs";

const COMMAND = "services/gantry/src/main.ts";
const EMBEDDED = "services/gantry/src/embedded/start.ts";

/** Imported lazily though they are CommonJS; only their default export is read. */
const LAZY_COMMONJS = ["@fastify/swagger", "@fastify/swagger-ui"];

let inputs: Metafile["inputs"];
let outputs: Metafile["outputs"];
before(async () => {
  ({ inputs, outputs } = await makeBundle(ROOT) as Metafile);
});

/** What is loaded with these sources: files of the bundle, their bytes, and the packages that they hold. */
function loadedWith(...sources: string[]): { files: number; bytes: number; packages: Set<string> } {
  const queue = sources.map((source) => Object.keys(outputs).find((file) => outputs[file]?.entryPoint === source) ?? assert.fail(`${source} is no part of the bundle`));
  const files = new Set<string>();
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const { path, kind, external } of outputs[file]!.imports) if (!external && kind !== "dynamic-import") queue.push(path);
  }
  const packages = [...files].flatMap((file) => Object.entries(outputs[file]!.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([input]) => packageOf(input)));
  return { files: files.size, bytes: [...files].reduce((sum, file) => sum + outputs[file]!.bytes, 0), packages: new Set(packages) };
}

/** `libs/bus`, `services/api`, or a package's name. */
function packageOf(input: string): string {
  const installed = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  return installed?.[1] ?? input.split("/").slice(0, 2).join("/");
}

function assertLean(loaded: ReturnType<typeof loadedWith>, bounds: { files: number; bytes: number; without: RegExp }): void {
  assert.ok(loaded.files <= bounds.files, `${loaded.files} files`);
  assert.ok(loaded.bytes <= bounds.bytes, `${loaded.bytes} bytes`);
  assert.deepEqual([...loaded.packages].filter((name) => bounds.without.test(name)), []);
}

describe("what a start loads", () => {
  it("in one process: no client of a broker, server or collector", () => {
    const loaded = loadedWith(COMMAND, EMBEDDED);
    for (const name of ["libs/bus", "services/api", "services/build", "services/image-store", "services/scheduler", "services/node-agent", "fastify", "kysely"]) assert.ok(loaded.packages.has(name), name);
    assertLean(loaded, { files: 60, bytes: 4_500_000, without: /^(amqplib|pg|ioredis|@opentelemetry\/(sdk|exporter|otlp|instrumentation).*|@grpc\/.*|protobufjs|@fastify\/swagger.*|esbuild|typescript)$/ });
  });

  it("as a client: no service", () => {
    assertLean(loadedWith(COMMAND), { files: 20, bytes: 900_000, without: /^(services\/(?!gantry$).*|fastify|kysely|undici|pino|tar-stream|@opentelemetry\/.*|amqplib|pg|ioredis)$/ });
  });

  for (const [service, without] of Object.entries({
    scheduler: /^(fastify|undici|libs\/(runtime|snapshots|content))$/,
    "image-store": /^(libs\/(runtime|network)|dns-packet)$/,
    "node-agent": /^(kysely|libs\/database)$/,
    api: /^(kysely|libs\/(database|runtime|snapshots))$/,
    build: /^$/,
  })) {
    it(`as ${service}: no other service`, () => {
      const loaded = loadedWith(COMMAND, `services/${service}/src/main.ts`);
      assert.ok(loaded.packages.has(`services/${service}`));
      const others = [...loaded.packages].filter((name) => name.startsWith("services/") && name !== "services/gantry" && name !== `services/${service}`);
      assert.deepEqual(others, []);
      assertLean(loaded, { files: 60, bytes: 4_500_000, without });
    });
  }
});

describe("a lazy import", () => {
  it("means the same in the bundle: of a CommonJS package it has no named exports there (import it in a module of ours, and that one lazily)", () => {
    const lazy = Object.entries(inputs).filter(([file]) => !file.includes("node_modules/")).flatMap(([, { imports }]) => imports.filter(({ kind }) => kind === "dynamic-import"));
    assert.ok(lazy.length > 0);
    const commonJs = lazy.filter(({ path, external }) => !external && inputs[path]?.format === "cjs").map(({ original, path }) => original ?? path);
    assert.deepEqual(commonJs.sort(), LAZY_COMMONJS);
  });
});

describe("the set-up, where all is in place", () => {
  it("runs no program", () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-start-"));
    try {
      const log = join(dir, "execs");
      const command = [process.execPath, join(ROOT, "infra/setup/gantry.mjs"), "--help"];
      const help = () => execFileSync("strace", ["-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", log, ...command], { encoding: "utf8" });
      assert.match(help(), /Usage: gantry/); // brings in what is missing
      assert.match(help(), /Usage: gantry/);
      const execs = readFileSync(log, "utf8").split("\n").filter((line) => line.includes("execve("));
      assert.equal(execs.length, 1, execs.join("\n"));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

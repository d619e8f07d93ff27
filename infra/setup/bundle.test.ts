import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { currentBundle } from "./bundle.mjs";
import { makeBundle } from "./make-bundle.mjs";

const MAIN = "services/gantry/src/main.ts";
const GREETING = "libs/words/src/index.ts";

/** A checkout with what is particular about ours: an own library, a lazily imported module, modules that look beside themselves. */
const FILES = {
  [MAIN]: `
    import { greeting } from "../../../libs/words/src/index.ts";
    import asset from "asset";
    const root: string = new URL("../../..", import.meta.url).pathname;
    const { fail } = await import("./fail.ts");
    console.log(JSON.stringify({ greeting, asset, root, dirname: import.meta.dirname, filename: import.meta.filename }));
    if (process.argv[2] === "fail") fail();
  `,
  "services/gantry/src/fail.ts": `
    type Unused = string;

    export function fail(): never {
      throw new Error("on purpose");
    }
  `,
  "services/gantry/package.json": `{ "name": "gantry", "type": "module" }`,
  [GREETING]: `export const greeting: string = "hello";\n`,
  "libs/words/package.json": `{ "name": "words", "type": "module" }`,
  "node_modules/.pnpm/lock.yaml": "lockfileVersion: 1\n",
  "node_modules/asset/package.json": `{ "name": "asset", "main": "index.js" }`,
  "node_modules/asset/index.js": `const { readFileSync } = require("node:fs");\nmodule.exports = readFileSync(require("path").join(__dirname, "asset.txt"), "utf8");\n`,
  "node_modules/asset/asset.txt": "beside the package",
};

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-bundle-"));
  for (const [file, text] of Object.entries(FILES)) write(file, text);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

/** A bundle is made only of sources at rest. */
async function make(): Promise<string> {
  await makeBundle(root);
  const entry = currentBundle(root);
  assert.ok(entry !== null);
  return entry;
}

function run(entry: string): { greeting: string; asset: string; root: string; dirname: string; filename: string } {
  return JSON.parse(execFileSync(process.execPath, [entry], { encoding: "utf8" }));
}

describe("a bundle", () => {
  it("does what its sources do, and finds what lies beside them, also in a moved checkout", async () => {
    assert.equal(currentBundle(root), null);
    const expected = (at: string) => ({ greeting: "hello", asset: "beside the package", root: `${at}/`, dirname: join(at, dirname(MAIN)), filename: join(at, MAIN) });
    assert.deepEqual(run(await make()), expected(root));
    const moved = `${root}-moved`;
    renameSync(root, moved);
    root = moved;
    assert.deepEqual(run(currentBundle(root)!), expected(root));
  });

  it("tells places in the sources when it fails", async () => {
    const failed = spawnSync(process.execPath, ["--enable-source-maps", await make(), "fail"], { encoding: "utf8" });
    assert.match(failed.stderr, /on purpose/);
    assert.match(failed.stderr, /services\/gantry\/src\/fail\.ts:5/);
  });

  it("is not taken once a source has changed, though size and time are the same; and again when it is as it was", async () => {
    const entry = await make();
    const { atime, mtime } = statSync(join(root, GREETING));
    const change = (word: string) => {
      write(GREETING, FILES[GREETING]!.replace("hello", word));
      utimesSync(join(root, GREETING), atime, mtime);
    };
    change("hallo");
    assert.equal(currentBundle(root), null);
    assert.equal(run(await make()).greeting, "hallo");
    change("hello");
    assert.equal(currentBundle(root), null);
    change("hallo");
    assert.notEqual(currentBundle(root), null);
    assert.notEqual(currentBundle(root), entry);
  });

  for (const [what, change] of Object.entries({
    "a lazily imported source has changed": () => write("services/gantry/src/fail.ts", "export function fail() {}\n"),
    "a source is gone": () => rmSync(join(root, GREETING)),
    "a package's manifest has changed": () => write("libs/words/package.json", `{ "name": "words", "type": "module", "exports": "./src/other.ts" }`),
    "other packages are installed": () => write("node_modules/.pnpm/lock.yaml", "lockfileVersion: 2\n"),
    "its files are gone": () => rmSync(dirname(currentBundle(root)!), { recursive: true }),
  })) {
    it(`is not taken when ${what}`, async () => {
      await make();
      change();
      assert.equal(currentBundle(root), null);
    });
  }

  it("is taken where only times have changed, as in a copy", async () => {
    const entry = await make();
    const copy = `${root}-copy`;
    cpSync(root, copy, { recursive: true });
    try {
      assert.equal(currentBundle(copy), entry.replace(root, copy));
      assert.equal(run(currentBundle(copy)!).greeting, "hello");
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  it("is never of sources that changed while it was made", async () => {
    let version = 0;
    let writing = true;
    const writer = (async () => {
      while (writing) {
        write(GREETING, `export const greeting: string = "version ${++version}";\n`);
        await setTimeout(5);
      }
    })();
    await assert.rejects(makeBundle(root), /change while/);
    writing = false;
    await writer;
    assert.equal(currentBundle(root), null);
    assert.equal(run(await make()).greeting, `version ${version}`);
  });

  it("stays while a process runs from it, and goes when it is replaced", async () => {
    const first = dirname(await make());
    const held = openSync(first, "r");
    write(GREETING, `export const greeting = "second";\n`);
    const second = dirname(await make());
    assert.ok(existsSync(first));
    closeSync(held);
    write(GREETING, `export const greeting = "third";\n`);
    await make();
    assert.deepEqual([existsSync(first), existsSync(second)], [false, false]);
  });

  it("that cannot be made leaves none", async () => {
    write(MAIN, "import './not-there.ts';\n");
    await assert.rejects(makeBundle(root), /not-there/);
    assert.equal(currentBundle(root), null);
    assert.deepEqual(readFileSync(join(root, MAIN), "utf8"), "import './not-there.ts';\n");
  });
});

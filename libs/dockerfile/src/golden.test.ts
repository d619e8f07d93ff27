import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DockerfileError, parseDockerfile } from "./index.ts";

/**
 * Each folder of testdata has a Dockerfile and the expected.json of its stages, or of the error. With UPDATE_GOLDEN=1 the
 * files are written anew, to be read before they are committed.
 */
const root = join(import.meta.dirname, "../testdata");

function outcome(text: string): unknown {
  try {
    return parseDockerfile(text);
  } catch (e) {
    if (e instanceof DockerfileError) return { error: e.message };
    throw e;
  }
}

for (const name of readdirSync(root).sort()) {
  test(`Dockerfile ${name}`, () => {
    const file = join(root, name, "expected.json");
    const actual: unknown = JSON.parse(JSON.stringify(outcome(readFileSync(join(root, name, "Dockerfile"), "utf8"))));
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(actual, null, 1)}\n`);
    assert.ok(existsSync(file), `${file} is missing`);
    assert.deepEqual(actual, JSON.parse(readFileSync(file, "utf8")));
  });
}

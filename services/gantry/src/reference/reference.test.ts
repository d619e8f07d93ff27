import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Type as T } from "typebox";
import { REFERENCE, ROOT } from "./file.ts";
import { configurationReference } from "./markdown.ts";
import { sections, variablesOf } from "./variables.ts";

const all = sections();
const known = new Set(all.flatMap(({ variables }) => variables.map(({ name }) => name)));
const filesOf = (...patterns: string[]) => globSync(patterns, { cwd: ROOT, exclude: (name) => name === "node_modules" || name === "dist" });
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");

test("docs/configuration.md is what the schemas say", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), configurationReference(all), "run node services/gantry/src/reference/update.ts");
});

test("every variable says what it is", () => {
  for (const { title, variables } of all) {
    for (const { name, description } of variables) assert.notEqual(description, "", `${name} of ${title} has no description`);
    assert.equal(new Set(variables.map(({ name }) => name)).size, variables.length, `${title} names one twice`);
  }
});

test("every variable that a program reads is in it", () => {
  const files = filesOf("services/*/src/**/*.ts", "libs/*/src/**/*.ts", "services/*/bin/*.mjs", "infra/**/*.{mjs,sh}")
    .filter((file) => !/\.test\.ts$|\/test(?:ing)?\/|^libs\/testkit\/|^services\/dashboard\/|^infra\/images\//.test(file));
  assert.ok(files.length > 300);
  const seen = new Map<string, string>();
  for (const file of files) for (const [name] of read(file).matchAll(/\bGANTRY_[A-Z0-9_]*[A-Z0-9]\b/g)) seen.set(name, file);
  assert.deepEqual([...seen].filter(([name]) => !known.has(name)), []);
});

test("what infra/ sets is what a service reads, and nothing that must be given is missing there", () => {
  const services = ["api", "scheduler", "image-store", "build", "node-agent"];
  const common = all.slice(0, 2).flatMap(({ variables }) => variables.map(({ name }) => name));
  // gantry.env is for every service of a host: what one reads, another may not.
  const shared = settings(read("infra/etc/gantry.env"));
  for (const service of services) {
    const { variables } = all.find(({ title }) => title === service)!;
    const own = settings(`${read(`infra/etc/${service}.env`)}\n${read(`infra/systemd/gantry-${service}.service`).replaceAll(/^Environment=/gm, "")}`);
    const readable = new Set([...variables.map(({ name }) => name), ...common]);
    assert.deepEqual(own.filter((name) => !readable.has(name)), [], `${service} does not read`);
    const missing = variables.filter((variable) => variable.default === null && ![...own, ...shared].includes(variable.name));
    assert.deepEqual(missing.map(({ name }) => name), [], `${service} is not given`);
  }
  assert.deepEqual(shared.filter((name) => !known.has(name)), []);
  const inputs = new Set(["GANTRY_PASSWORD", "GANTRY_IMAGES", "GANTRY_VERSION", "GANTRY_RUN_DIR"]); // of Compose, not of a process
  for (const file of ["infra/images/Dockerfile", "infra/compose/docker-compose.yml"]) {
    for (const [name] of read(file).matchAll(/\bGANTRY_[A-Z0-9_]*[A-Z0-9]\b/g)) assert.ok(known.has(name) || inputs.has(name), `${file}: ${name}`);
  }
});

/** Names in `NAME=value` lines, also of those that are commented out. */
function settings(text: string): string[] {
  return [...text.matchAll(/^#?((?:GANTRY|OTEL)_[A-Z0-9_]+)=/gm)].map((match) => match[1]!);
}

test("a schema's variables: names, types, defaults", () => {
  assert.deepEqual(variablesOf(T.Object({
    stateDir: T.String({ description: "where" }),
    listen: T.Array(T.String(), { default: ["a", "b"], description: "at" }),
    kind: T.Optional(T.Union([T.Literal("x"), T.Literal("y")], { description: "which" })),
    count: T.Integer({ minimum: 1, maximum: 9, default: 3, description: "how many" }),
    labels: T.Record(T.String(), T.String(), { default: {}, description: "more" }),
  })), [
    { name: "GANTRY_STATE_DIR", type: "string", default: null, description: "where" },
    { name: "GANTRY_LISTEN", type: "list", default: "a,b", description: "at" },
    { name: "GANTRY_KIND", type: "`x` `y`", default: "", description: "which" },
    { name: "GANTRY_COUNT", type: "integer 1–9", default: "3", description: "how many" },
    { name: "GANTRY_LABELS", type: "`a=1,b=2`", default: "", description: "more" },
  ]);
});

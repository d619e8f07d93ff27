import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRange } from "../http/range.ts";
import { applyChanges } from "./config-changes.ts";
import { matchGlob } from "./glob.ts";
import { nameOfDescriptor, parseSaveManifest } from "./archive-index.ts";
import { pathOfRepository, repositoryOfPath } from "./names.ts";
import { humanSize, progressBar } from "./progress.ts";
import { parseDuration, parseTime, parseUntil } from "./time.ts";

test("globs are Go's path.Match", () => {
  const rows: [pattern: string, text: string, matches: boolean][] = [
    ["redis", "redis", true], ["re*", "redis", true], ["*", "a/b", false], ["*/*", "a/b", true], ["a*/b", "axx/b", true], ["a*c*e", "abcde", true], ["a*c*e", "abcd", false],
    ["r?dis", "redis", true], ["?", "/", false], ["[a-c]x", "bx", true], ["[^a-c]x", "bx", false], ["[^a-c]x", "dx", true], ["\\*", "*", true], ["\\*", "a", false], ["", "", true], ["*", "", true], ["*a", "a", true], ["**a", "ba", true],
  ];
  for (const [pattern, text, matches] of rows) assert.equal(matchGlob(pattern, text), matches, `${pattern} ${text}`);
  for (const bad of ["[", "[a", "[]", "a\\", "[a-]"]) assert.throws(() => matchGlob(bad, "a"), { code: "INVALID" }, bad);
  const started = performance.now();
  assert.equal(matchGlob("*a".repeat(200) + "b", "a".repeat(1000)), false);
  assert.ok(performance.now() - started < 1000);
});

test("times", () => {
  assert.equal(parseDuration("1h30m"), 5_400_000);
  assert.equal(parseDuration("10"), null);
  assert.equal(parseUntil("10s", 50_000), 40_000);
  assert.equal(parseUntil("1700000000.5", 0), 1_700_000_000_500);
  assert.equal(parseUntil("2026-01-01T00:00:00Z", 0), Date.UTC(2026, 0, 1));
  assert.throws(() => parseUntil("soon", 0), { code: "INVALID" });
  assert.equal(parseTime("0001-01-01T00:00:00Z"), null);
  assert.equal(parseTime("2019-08-14T00:25:03.215903447Z"), Date.UTC(2019, 7, 14, 0, 25, 3, 215));
});

test("sizes and bars", () => {
  assert.deepEqual([0, 999, 1000, 69_212_345, 1.19e9].map((bytes) => humanSize(bytes)), ["0B", "999B", "1kB", "69.21MB", "1.19GB"]);
  assert.equal(progressBar(500, 1000), `[${"=".repeat(25)}>${" ".repeat(25)}]     500B/1kB`);
  assert.equal(progressBar(2000, 1000), `[${"=".repeat(50)}>]      2kB`);
  assert.equal(progressBar(0, 0), "");
});

test("ranges", () => {
  const rows: [header: string | undefined, result: unknown][] = [
    [undefined, "whole"], ["bytes=0-", { offset: 0, length: 10 }], ["bytes=3-5", { offset: 3, length: 3 }], ["bytes=3-99", { offset: 3, length: 7 }], ["bytes=-4", { offset: 6, length: 4 }],
    ["bytes=-99", { offset: 0, length: 10 }], ["bytes=10-", null], ["bytes=-0", null], ["bytes=5-3", "whole"], ["bytes=0-1,3-4", "whole"], ["lines=1-2", "whole"], ["bytes=-", "whole"],
  ];
  for (const [header, result] of rows) assert.deepEqual(parseRange(header, 10), result, String(header));
});

test("names in registry URLs are docker's names", () => {
  assert.equal(repositoryOfPath("pinger"), "docker.io/library/pinger");
  assert.equal(repositoryOfPath("library/pinger"), "docker.io/library/pinger");
  assert.equal(repositoryOfPath("team/app"), "docker.io/team/app");
  assert.equal(repositoryOfPath("registry.example/team/app"), "registry.example/team/app");
  assert.equal(repositoryOfPath("../x"), null);
  assert.equal(pathOfRepository("docker.io/library/pinger"), "pinger");
  assert.equal(pathOfRepository("registry.example/team/app"), "registry.example/team/app");
  assert.equal(pathOfRepository("localhost:5000/x"), null);
});

test("names in OCI layouts", () => {
  const ref = "org.opencontainers.image.ref.name";
  assert.equal(nameOfDescriptor({ "io.containerd.image.name": "docker.io/library/x:1", [ref]: "1" }), "x:1");
  assert.equal(nameOfDescriptor({ [ref]: "x:1" }), "x:1");
  assert.equal(nameOfDescriptor({ [ref]: "latest" }), null);
  assert.equal(nameOfDescriptor({ [ref]: "Not A Name:1" }), null);
  assert.equal(nameOfDescriptor(null), null);
  assert.throws(() => parseSaveManifest(Buffer.from('[{"Config":1}]')), { code: "INVALID" });
  assert.throws(() => parseSaveManifest(Buffer.from('[{"Config":"c","Layers":[],"Parent":"../x"}]')), { code: "INVALID" });
});

test("changes of a config", () => {
  const config = applyChanges({ Env: ["A=0"], WorkingDir: "/srv" }, ["ENV A=1", "LABEL k=\"v w\"", "WORKDIR sub", "VOLUME [\"/data\"]", "USER $A", "EXPOSE 53/udp 8000-8001", "HEALTHCHECK NONE", "ONBUILD RUN x", "STOPSIGNAL SIGINT"]);
  assert.deepEqual(config, {
    Env: ["A=1"], WorkingDir: "/srv/sub", Labels: { k: "v w" }, Volumes: { "/data": {} }, User: "1", ExposedPorts: { "53/udp": {}, "8000/tcp": {}, "8001/tcp": {} },
    Healthcheck: { Test: ["NONE"], Interval: 0, Timeout: 0, StartPeriod: 0, StartInterval: 0, Retries: 0 }, OnBuild: ["RUN x"], StopSignal: "SIGINT",
  });
  for (const [bad, message] of [["RUN x", /^run is not a valid change command$/], ["NONSENSE x", /./], ["EXPOSE 99999", /^Invalid containerPort: 99999$/], ["CMD a\nCMD b", /./]] as const) {
    assert.throws(() => applyChanges({}, [bad]), { code: "INVALID", message }, String(bad));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDockerfile, parseDuration, planBuild } from "./index.ts";

const plan = (text: string, target = "", buildArgs: Record<string, string | null> = {}) =>
  planBuild(parseDockerfile(text), { buildArgs, target, platformArgs: { TARGETARCH: "amd64" } });

const FILE = `ARG TAG=1
ARG IMAGE=busybox:$TAG
FROM $IMAGE AS one
RUN one
FROM scratch AS two
COPY --from=one /a /a
COPY --from=debian:12 /b /b
FROM one
RUN three
FROM TWO AS four
COPY --from=2 /c /c
`;

test("stages know their bases, needs and step numbers", () => {
  const { stages, totalSteps, target } = plan(FILE);
  assert.equal(totalSteps, 2 + 2 + 3 + 2 + 2);
  assert.equal(target, 3);
  assert.deepEqual(stages.map((s) => [s.base, s.needs, s.firstStep]), [
    [{ kind: "image", ref: "busybox:1" }, [], 3],
    [{ kind: "scratch" }, [0], 5],
    [{ kind: "stage", index: 0 }, [0], 8],
    [{ kind: "stage", index: 1 }, [1, 2], 10],
  ]);
  assert.deepEqual(stages[1]!.copiesFrom.get("debian:12"), { kind: "image", ref: "debian:12" });
});

test("a target leaves out the stages it does not need", () => {
  assert.deepEqual(plan(FILE, "TWO").stages.map((s) => s.stage.index), [0, 1]);
  assert.equal(plan(FILE, "two").totalSteps, 2 + 2 + 3);
  assert.deepEqual(plan(FILE, "0").stages.map((s) => s.stage.index), [0]);
  assert.throws(() => plan(FILE, "nine"), /failed to reach build target nine in Dockerfile/);
});

test("build arguments and platform values reach FROM", () => {
  assert.deepEqual(plan(FILE, "", { TAG: "2" }).stages[0]!.base, { kind: "image", ref: "busybox:2" });
  assert.deepEqual(plan("ARG TARGETARCH\nFROM x:${TARGETARCH}\n").stages[0]!.base, { kind: "image", ref: "x:amd64" });
  assert.throws(() => plan("FROM $NOTHING\n"), /line 1: base name \(\$NOTHING\) should not be blank/);
  assert.throws(() => plan("FROM a\nCOPY --from=0 x y\n"), /invalid from flag value 0: refers to current build stage/);
  assert.throws(() => plan("FROM a\nCOPY --from=5 x y\n"), /invalid from flag value 5: index out of bounds/);
});

test("durations as Go reads and prints them", () => {
  const cases: [string, number, string][] = [["5m", 3e11, "5m0s"], ["1h1m1.5s", 3661.5e9, "1h1m1.5s"], ["300ms", 3e8, "300ms"], ["0", 0, "0s"], ["1.5us", 1500, "1.5µs"], ["-2s", -2e9, "-2s"]];
  for (const [text, ns, printed] of cases) {
    assert.equal(parseDuration(text), ns);
    assert.equal(formatDuration(ns), printed);
  }
  for (const bad of ["", "5", "m", "1d", "1s2"]) assert.equal(parseDuration(bad), null, bad);
});

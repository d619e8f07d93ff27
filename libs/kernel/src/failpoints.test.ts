import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { armFailpoint, armFailpointsFromEnv, failpoint } from "./failpoints.ts";

test("does nothing unless armed", () => assert.equal(failpoint("test.nothing"), undefined));

test("errors as often as told, then lets pass", () => {
  using point = armFailpoint("test.error", "1*off->2*error(disk full)");
  failpoint("test.error");
  assert.throws(() => failpoint("test.error"), /disk full/);
  assert.throws(() => failpoint("test.error"), /disk full/);
  failpoint("test.error");
  assert.equal(point.hits, 4);
});

test("pauses until disarmed", async () => {
  const point = armFailpoint("test.pause", "pause");
  let passed = false;
  const waiting = Promise.resolve(failpoint("test.pause")).then(() => { passed = true; });
  await Promise.resolve();
  assert.equal(passed, false);
  point[Symbol.dispose]();
  await waiting;
  assert.equal(failpoint("test.pause"), undefined);
});

test("crashes the process by plan from the environment", () => {
  const url = new URL("./failpoints.ts", import.meta.url).href;
  const child = spawnSync(process.execPath, ["-e",
    `const f = await import(${JSON.stringify(url)}); f.armFailpointsFromEnv(process.env);
     f.failpoint("a.b"); process.stdout.write("once "); f.failpoint("a.b"); process.stdout.write("twice");`,
  ], { env: { ...process.env, GANTRY_FAILPOINTS: "a.b=1*off->crash" }, encoding: "utf8" });
  assert.equal(child.signal, "SIGKILL");
  assert.equal(child.stdout, "once ");
});

test("refuses a plan it does not understand", () => {
  assert.throws(() => armFailpoint("x", "explode"), /failpoint plan/);
  assert.throws(() => armFailpoint("x", "delay(soon)"), /milliseconds/);
  assert.throws(() => armFailpointsFromEnv({ GANTRY_FAILPOINTS: "nameonly" }), /name=plan/);
});

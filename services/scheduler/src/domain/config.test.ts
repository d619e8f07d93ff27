import assert from "node:assert/strict";
import { test } from "node:test";
import { checkConfig, checkPort, mergeConfig, readConfig } from "./config.ts";

const image = (config: object) => readConfig({ Cmd: ["img"], ...config });

test("an image's command is used until the user gives one, or an entrypoint", () => {
  const from = image({ Entrypoint: ["/entry"], Cmd: ["default"] });
  assert.deepEqual(pick(mergeConfig(readConfig({}), from)), [["/entry"], ["default"]]);
  assert.deepEqual(pick(mergeConfig(readConfig({ Cmd: ["mine"] }), from)), [["/entry"], ["mine"]]);
  assert.deepEqual(pick(mergeConfig(readConfig({ Entrypoint: ["/other"] }), from)), [["/other"], null]);
  assert.deepEqual(pick(mergeConfig(readConfig({ Entrypoint: [""], Cmd: ["mine"] }), from)), [null, ["mine"]]);
  assert.throws(() => mergeConfig(readConfig({}), readConfig({})), { code: "INVALID", message: "no command specified" });
});

const pick = (config: { Entrypoint: string[] | null; Cmd: string[] | null }) => [config.Entrypoint, config.Cmd];

test("environment, labels, ports and volumes are joined; the user's win", () => {
  const merged = mergeConfig(
    readConfig({ Env: ["A=mine", "B=2"], Labels: { a: "mine" }, ExposedPorts: { "80/tcp": {} }, Volumes: { "/v": {} }, WorkingDir: "/w" }),
    image({ Env: ["PATH=/bin", "A=image"], Labels: { a: "image", b: "image" }, ExposedPorts: { 81: {} }, Volumes: { "/u": {} }, WorkingDir: "/x", User: "node", StopSignal: "SIGINT" }));
  assert.deepEqual(merged.Env, ["A=mine", "B=2", "PATH=/bin"]);
  assert.deepEqual(merged.Labels, { a: "mine", b: "image" });
  assert.deepEqual(Object.keys(merged.ExposedPorts).sort(), ["80/tcp", "81/tcp"]);
  assert.deepEqual(Object.keys(merged.Volumes!).sort(), ["/u", "/v"]);
  assert.deepEqual([merged.WorkingDir, merged.User, merged.StopSignal], ["/w", "node", "SIGINT"]);
});

test("a health check takes from the image what it leaves open", () => {
  const merged = mergeConfig(readConfig({ Cmd: ["x"], Healthcheck: { Interval: 5e9 } }), image({ Healthcheck: { Test: ["CMD", "true"], Retries: 7 } }));
  assert.deepEqual(merged.Healthcheck, { Test: ["CMD", "true"], Interval: 5e9, Timeout: 0, StartPeriod: 0, StartInterval: 0, Retries: 7 });
});

test("what cannot be is refused in Docker's words", () => {
  assert.throws(() => checkConfig(readConfig({ WorkingDir: "rel" })), { message: "the working directory 'rel' is invalid, it needs to be an absolute path" });
  assert.throws(() => checkConfig(readConfig({ Env: ["=x"] })), { message: "invalid environment variable: =x" });
  assert.throws(() => checkConfig(readConfig({ StopSignal: "NOPE" })), { message: "Invalid signal: NOPE" });
  assert.throws(() => readConfig({ Cmd: [1] }), { code: "INVALID", message: "invalid value for Cmd[0]: must be a string" });
  assert.throws(() => checkPort("99999"), { code: "INVALID" });
  assert.throws(() => checkPort("80/foo"), { message: "invalid proto: foo" });
});

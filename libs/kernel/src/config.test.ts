import assert from "node:assert/strict";
import test from "node:test";
import { Type as T } from "typebox";
import { configFromEnv, variableName } from "./config.ts";
import { isGantryError } from "./errors.ts";

const Config = T.Object({
  stateDir: T.String({ default: ".gantry" }),
  httpPort: T.Integer({ minimum: 1, maximum: 65535, description: "port to listen on" }),
  verbose: T.Boolean({ default: false }),
  ratio: T.Optional(T.Number()),
  mirrors: T.Array(T.String(), { default: [] }),
  labels: T.Record(T.String(), T.String(), { default: {} }),
  mode: T.Union([T.Literal("a"), T.Literal("b")], { default: "a" }),
});

test("names follow the property", () => {
  assert.equal(variableName("stateDir"), "GANTRY_STATE_DIR");
  assert.equal(variableName("tlsCAFile"), "GANTRY_TLS_CA_FILE");
  assert.equal(variableName("url", "X_"), "X_URL");
});

test("reads every kind, and takes defaults", () => {
  assert.deepEqual(configFromEnv(Config, { GANTRY_HTTP_PORT: "80" }),
    { stateDir: ".gantry", httpPort: 80, verbose: false, mirrors: [], labels: {}, mode: "a" });
  assert.deepEqual(
    configFromEnv(Config, {
      GANTRY_STATE_DIR: "/x", GANTRY_HTTP_PORT: "81", GANTRY_VERBOSE: "Yes", GANTRY_RATIO: "0.5", GANTRY_MIRRORS: "a, b,",
      GANTRY_LABELS: "zone=eu,ssd", GANTRY_MODE: "b",
    }),
    { stateDir: "/x", httpPort: 81, verbose: true, ratio: 0.5, mirrors: ["a", "b"], labels: { zone: "eu", ssd: "" }, mode: "b" });
});

test("defaults are not shared between two readings", () => {
  const first = configFromEnv(Config, { GANTRY_HTTP_PORT: "1" });
  first.mirrors.push("x");
  assert.deepEqual(configFromEnv(Config, { GANTRY_HTTP_PORT: "1" }).mirrors, []);
});

test("names every fault at once, and no value", () => {
  assert.throws(
    () => configFromEnv(Config, { GANTRY_VERBOSE: "perhaps", GANTRY_MODE: "s3cret", GANTRY_RATIO: "1e" }),
    (e) => isGantryError(e, "INVALID") && /GANTRY_HTTP_PORT is not set \(port to listen on\)/.test(e.message)
      && /GANTRY_VERBOSE/.test(e.message) && /GANTRY_MODE/.test(e.message) && /GANTRY_RATIO/.test(e.message) && !/s3cret/.test(e.message));
  assert.throws(() => configFromEnv(Config, { GANTRY_HTTP_PORT: "70000" }), /GANTRY_HTTP_PORT/);
  assert.throws(() => configFromEnv(Config, { GANTRY_HTTP_PORT: "0x50" }), /GANTRY_HTTP_PORT/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, createBody, parsePort } from "./run-options.ts";

test("ports have docker's forms", () => {
  assert.deepEqual(parsePort("80"), { container: "80/tcp", hostIp: "", hostPort: "" });
  assert.deepEqual(parsePort("8080:80/udp"), { container: "80/udp", hostIp: "", hostPort: "8080" });
  assert.deepEqual(parsePort("127.0.0.1::80"), { container: "80/tcp", hostIp: "127.0.0.1", hostPort: "" });
  assert.deepEqual(parsePort("[::1]:8080:80"), { container: "80/tcp", hostIp: "::1", hostPort: "8080" });
  assert.throws(() => parsePort("web:80"), { code: "INVALID" });
  assert.throws(() => parsePort("99999"), { code: "INVALID" });
});

test("sizes are in powers of 1024", () => {
  assert.deepEqual(["512", "64m", "1g", "1.5k"].map(bytes), [512, 64 << 20, 1 << 30, 1536]);
  assert.throws(() => bytes("much"), { code: "INVALID" });
});

test("a foreground run attaches, a detached one does not", () => {
  const foreground = createBody("busybox", ["true"], { interactive: true });
  assert.deepEqual([foreground.AttachStdout, foreground.StdinOnce, foreground.Cmd], [true, true, ["true"]]);
  const detached = createBody("busybox", [], { detach: true, interactive: true, publish: ["8080:80"] });
  assert.deepEqual([detached.AttachStdout, detached.StdinOnce, "Cmd" in detached], [false, false, false]);
  assert.deepEqual((detached.HostConfig as { PortBindings: unknown }).PortBindings, { "80/tcp": [{ HostIp: "", HostPort: "8080" }] });
});

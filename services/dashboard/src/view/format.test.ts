import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, ports, shortId, status } from "./format.ts";

test("bytes", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 104_857_600, 5 * 1024 ** 4 * 1024].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "100 MiB", "5120 TiB"]);
});

test("spans of time", () => {
  assert.deepEqual([-5, 0, 59_400, 60_000, 185_000, 3_600_000, 7_440_000, 200_000_000].map(duration), ["0 s", "0 s", "59 s", "1 min", "3 min 5 s", "1 h", "2 h 4 min", "2 d"]);
});

test("ports as docker ps shows them", () => {
  assert.equal(ports([{ ip: "0.0.0.0", privatePort: 80, publicPort: 8080, type: "tcp" }, { ip: "::", privatePort: 80, publicPort: 8080, type: "tcp" }, { ip: "", privatePort: 53, publicPort: null, type: "udp" }]),
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 53/udp");
});

test("short IDs", () => assert.equal(shortId("sha256:0123456789abcdef"), "0123456789ab"));

test("a container's status", () => {
  const row = { state: "running", since: 1_000, health: null, exitCode: null };
  assert.equal(status(row, 61_000), "for 1 min");
  assert.equal(status({ ...row, health: "healthy" }, 61_000), "for 1 min, healthy");
  assert.equal(status({ ...row, state: "exited", exitCode: 137 }, 6_000), "exit code 137, 5 s ago");
  assert.equal(status({ ...row, state: "created", since: null }, 6_000), "");
});

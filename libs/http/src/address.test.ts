import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress, isLoopback, isLoopbackHeader, parseAddress, parseListenAddress } from "./address.ts";

test("service addresses are read and written alike", () => {
  for (const text of ["unix:/run/x.sock", "http://127.0.0.1:80", "https://10.0.0.3:7000", "https://[fd00::1]:7000", "https://node-1.example:443"]) {
    assert.equal(formatAddress(parseAddress(text)), text);
  }
  assert.deepEqual(parseAddress("https://[fd00::1]:7000/"), { kind: "tcp", secure: true, host: "fd00::1", port: 7000 });
  assert.deepEqual(parseAddress("unix:///run/x.sock"), { kind: "unix", path: "/run/x.sock" });
});

test("what is no service address is refused", () => {
  for (const text of ["", "unix:relative", "10.0.0.3:7000", "http://host", "https://host:0", "https://host:70000", "https://a b:1", "ftp://host:1", "https://host:1/path", "https://::1:1"]) {
    assert.throws(() => parseAddress(text), /is no service address/, text);
  }
});

test("listen addresses", () => {
  assert.deepEqual(parseListenAddress("0.0.0.0:7000"), { kind: "tcp", host: "0.0.0.0", port: 7000 });
  assert.deepEqual(parseListenAddress("tcp://[::1]:0"), { kind: "tcp", host: "::1", port: 0 });
  assert.deepEqual(parseListenAddress("unix:///run/x.sock"), { kind: "unix", path: "/run/x.sock" });
  for (const text of ["", "7000", ":7000", "http://127.0.0.1:1", "host:99999", "unix:x", "::1:7000"]) assert.throws(() => parseListenAddress(text), /cannot listen on/, text);
});

test("loopback, as a host and as a Host header", () => {
  for (const host of ["localhost", "127.0.0.1", "127.8.9.10", "::1", "[::1]", "LOCALHOST"]) assert.equal(isLoopback(host), true, host);
  for (const host of ["localhost.evil.example", "128.0.0.1", "0.0.0.0", "::", "127.0.0.1.example", ""]) assert.equal(isLoopback(host), false, host);
  for (const header of ["localhost:80", "127.0.0.1", "[::1]:7000", "[::1]"]) assert.equal(isLoopbackHeader(header), true, header);
  for (const header of [undefined, "", "evil.example", "evil.example:80", "localhost:80:80"]) assert.equal(isLoopbackHeader(header), false, String(header));
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FALLBACK_RANGE, HostPorts, parsePortRange } from "./host-ports.ts";

const tcp = (hostIp: string, hostPort: number) => ({ hostIp, hostPort, protocol: "tcp" as const });

describe("HostPorts", () => {
  it("holds a port for an address, or for all of a family", () => {
    const ports = new HostPorts([100, 102]);
    ports.take(tcp("0.0.0.0", 80), "a");
    ports.take(tcp("::", 80), "a");
    ports.take({ ...tcp("0.0.0.0", 80), protocol: "udp" }, "b");
    assert.throws(() => ports.take(tcp("127.0.0.1", 80), "b"), /^GantryError: Bind for 127\.0\.0\.1:80 failed: port is already allocated$/);
    assert.throws(() => ports.take(tcp("::1", 80), "b"), /Bind for \[::1\]:80 failed/);
    ports.take(tcp("127.0.0.1", 81), "a");
    ports.take(tcp("127.0.0.2", 81), "b");
    assert.throws(() => ports.take(tcp("0.0.0.0", 81), "c"), /already allocated/);
    ports.release(tcp("127.0.0.1", 81), "a");
    ports.release(tcp("127.0.0.2", 81), "a");
    assert.throws(() => ports.take(tcp("0.0.0.0", 81), "c"), /already allocated/, "only its holder releases a port");
    ports.release(tcp("127.0.0.2", 81), "b");
    ports.take(tcp("0.0.0.0", 81), "c");
  });
  it("goes round the range, from where it was left", () => {
    const ports = new HostPorts([100, 102]);
    const first = () => ports.candidates({ hostPort: 0, protocol: "tcp" }).next().value;
    assert.deepEqual([first(), first(), first(), first()], [100, 101, 102, 100]);
    assert.deepEqual([...ports.candidates({ hostPort: 0, protocol: "tcp" })], [101, 102, 100]);
    assert.deepEqual([...ports.candidates({ hostPort: 8080, protocol: "tcp" })], [8080]);
    assert.deepEqual([...ports.candidates({ hostPort: [5, 7], protocol: "tcp" })], [5, 6, 7]);
  });
  it("takes the range from the kernel", () => {
    assert.deepEqual(parsePortRange("32768\t60999\n"), [32768, 60999]);
    for (const text of ["", "1", "0 10", "9 8", "1 70000", "a b"]) assert.deepEqual(parsePortRange(text), FALLBACK_RANGE, text);
  });
});

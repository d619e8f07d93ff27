import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { contains, formatCidr, formatIp, overlaps, parseCidr, parseIp, type Cidr } from "./ip.ts";
import { defaultGateway, pickSubnet, subnetsOverlap, ulaPool } from "./subnets.ts";

const cidr = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }), fc.integer({ min: 0, max: 32 })).map(([value, prefix]): Cidr => {
  const host = (1n << BigInt(32 - prefix)) - 1n;
  return { bits: 32, base: value & ~host, prefix };
});

describe("addresses and subnets as text", () => {
  it("reads what it writes", () => {
    fc.assert(fc.property(cidr, (c) => assert.deepEqual(parseCidr(formatCidr(c)), c)));
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (value) => assert.deepEqual(parseIp(formatIp({ bits: 128, value })), { bits: 128, value })));
  });
  it("writes them as people do", () => {
    assert.equal(formatCidr(parseCidr("172.17.0.1/16")!), "172.17.0.0/16");
    assert.equal(formatIp(parseIp("FD00:0:0::2")!), "fd00::2");
  });
  it("refuses everything else", () => {
    for (const text of ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "0x7f.1.1.1", "1.2.3.4 ", "::g", "fe80::1%eth0", "1.2.3.4/8", "a".repeat(100)]) assert.equal(parseIp(text), null, text);
    for (const text of ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "::/129", "1.2.3.4/1e1", "/8"]) assert.equal(parseCidr(text), null, text);
  });
  it("knows when two overlap: when one holds the other's first address", () => {
    fc.assert(fc.property(cidr, cidr, (a, b) => {
      const expected = contains(a, { bits: 32, value: b.base }) || contains(b, { bits: 32, value: a.base });
      assert.equal(overlaps(a, b), expected);
      assert.equal(subnetsOverlap(formatCidr(a), formatCidr(b)), expected);
    }));
  });
});

describe("pickSubnet", () => {
  it("gives Docker's subnets in Docker's order", () => {
    const used: string[] = [];
    for (let i = 0; i < 31; i++) used.push(pickSubnet(used));
    assert.deepEqual(used.slice(0, 4), ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]);
    assert.deepEqual(used.slice(14), ["172.31.0.0/16", ...Array.from({ length: 16 }, (_, i) => `192.168.${i * 16}.0/20`)]);
    assert.throws(() => pickSubnet(used), /all predefined address pools have been fully subnetted/);
  });
  it("steps over what the host uses, of any size", () => {
    assert.equal(pickSubnet(["172.16.0.0/12"]), "192.168.0.0/20");
    assert.equal(pickSubnet(["172.17.3.4/32", "172.18.0.0/15", "fd00::/8", "nonsense"]), "172.20.0.0/16");
    assert.equal(pickSubnet(["192.168.1.0/24", "172.16.0.0/12"]), "192.168.16.0/20");
  });
  it("overlaps nothing in use, and is exhausted only when everything overlaps", () => {
    const near = fc.tuple(fc.constantFrom("172.16.0.0", "172.20.0.0", "192.168.0.0"), fc.integer({ min: 0, max: 2 ** 20 - 1 }), fc.integer({ min: 10, max: 32 }))
      .map(([base, offset, prefix]) => formatCidr(parseCidr(`${formatIp({ bits: 32, value: parseIp(base)!.value + BigInt(offset) })}/${prefix}`)!));
    fc.assert(fc.property(fc.array(near, { maxLength: 40 }), (used) => {
      const every: string[] = [];
      for (let second = 17; second < 32; second++) every.push(`172.${second}.0.0/16`);
      for (let third = 0; third < 256; third += 16) every.push(`192.168.${third}.0/20`);
      const free = every.filter((candidate) => !used.some((u) => subnetsOverlap(u, candidate)));
      if (free.length === 0) assert.throws(() => pickSubnet(used));
      else assert.equal(pickSubnet(used), free[0]);
    }));
  });
  it("gives IPv6 subnets of a unique local prefix", () => {
    const pool = ulaPool("a network");
    assert.match(pool.base, /^fd[0-9a-f]{2}:[0-9a-f]{4}:[0-9a-f]{4}::\/48$/);
    assert.deepEqual(pool, ulaPool("a network"));
    const first = pickSubnet([], [pool]);
    assert.match(first, /::\/64$/);
    assert.equal(subnetsOverlap(first, pickSubnet([first], [pool])), false);
    assert.ok(subnetsOverlap(pool.base, pickSubnet([first], [pool])));
  });
  it("gives the first address to the gateway", () => assert.equal(defaultGateway("192.168.16.0/20"), "192.168.16.1"));
});

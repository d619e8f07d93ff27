import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isGantryError } from "@gantry/kernel";
import { AddressAllocator, macOf, parseMac } from "./addresses.ts";
import { contains, parseCidr, parseIp } from "./ip.ts";

const allocator = (subnet = "172.17.0.0/16", gateway = "172.17.0.1", range: string | null = null) => new AddressAllocator(subnet, { gateway, range });

describe("AddressAllocator", () => {
  it("gives the lowest free address, again after it was freed", () => {
    const a = allocator();
    assert.deepEqual(["x", "y", "z"].map((o) => a.take(o, null)), ["172.17.0.2", "172.17.0.3", "172.17.0.4"]);
    a.free("y", "172.17.0.3");
    a.free("y", "172.17.0.4");
    assert.equal(a.take("w", null), "172.17.0.3");
    assert.equal(a.take("v", null), "172.17.0.5");
  });
  it("honours what is asked for, and refuses it to two", () => {
    const a = allocator();
    assert.equal(a.take("x", "172.17.0.2"), "172.17.0.2");
    assert.equal(a.take("x", "172.17.0.2"), "172.17.0.2");
    assert.equal(a.take("y", null), "172.17.0.3");
    for (const taken of ["172.17.0.2", "172.17.0.1", "172.17.0.0", "172.17.255.255"]) {
      assert.throws(() => a.take("y", taken), (e) => isGantryError(e, "CONFLICT") && e.message === "Address already in use", taken);
    }
    assert.throws(() => a.take("y", "172.18.0.2"), /no configured subnet/);
    assert.throws(() => a.take("y", "172.17.0"), /invalid IP address/);
  });
  it("chooses from the range, but lets any address of the subnet be asked for", () => {
    const a = allocator("10.1.0.0/16", "10.1.0.1", "10.1.5.0/30");
    assert.deepEqual([1, 2, 3, 4].map((n) => a.take(`c${n}`, null)), ["10.1.5.0", "10.1.5.1", "10.1.5.2", "10.1.5.3"]);
    assert.throws(() => a.take("c5", null), (e) => isGantryError(e, "UNAVAILABLE"));
    assert.equal(a.take("c5", "10.1.9.9"), "10.1.9.9");
    assert.throws(() => allocator("10.1.0.0/16", "10.1.0.1", "10.2.0.0/24"), /invalid IP range/);
    assert.throws(() => allocator("10.1.0.0/16", "10.2.0.1"), /no matching subnet for gateway/);
  });
  it("works in IPv6", () => {
    const a = allocator("fd00:1::/64", "fd00:1::1");
    assert.deepEqual([a.take("x", null), a.take("y", "FD00:1:0::9"), a.take("z", null)], ["fd00:1::2", "fd00:1::9", "fd00:1::3"]);
  });
  it("never gives one address to two, nor one outside the subnet, whatever is asked and freed", () => {
    const op = fc.record({ owner: fc.constantFrom(..."abcdefgh"), free: fc.boolean(), ask: fc.option(fc.integer({ min: 0, max: 7 })) });
    fc.assert(fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const a = allocator("10.0.0.0/29", "10.0.0.1");
      const held = new Map<string, string>();
      for (const { owner, free, ask } of ops) {
        if (free) {
          for (const [address, by] of held) if (by === owner) { a.free(owner, address); held.delete(address); }
          continue;
        }
        try {
          const address = a.take(owner, ask === null ? null : `10.0.0.${ask}`);
          assert.ok(contains(parseCidr("10.0.0.0/29")!, parseIp(address)!));
          assert.ok(!["10.0.0.0", "10.0.0.1", "10.0.0.7"].includes(address));
          assert.ok(held.get(address) === undefined || (held.get(address) === owner && ask !== null));
          held.set(address, owner);
        } catch (e) {
          if (isGantryError(e, "UNAVAILABLE")) assert.equal(held.size, 5);
          else assert.ok(isGantryError(e, "CONFLICT"), String(e));
        }
        assert.equal(a.count, held.size);
      }
    }));
  });
});

describe("MAC addresses", () => {
  it("come from the address, as Docker's", () => assert.equal(macOf("172.17.0.2"), "02:42:ac:11:00:02"));
  it("are read in any usual form, and refused when they cannot be a container's", () => {
    assert.equal(parseMac("02-42-AC-11-00-0a"), "02:42:ac:11:00:0a");
    for (const mac of ["", "02:42:ac:11:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42:ac:11:00:zz"]) assert.throws(() => parseMac(mac), /invalid MAC address/, mac);
  });
});

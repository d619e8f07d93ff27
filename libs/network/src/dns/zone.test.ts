import assert from "node:assert/strict";
import { describe, it } from "node:test";
import packet from "dns-packet";
import { answerLocally, readQuery, refuse, refuseUnread, reverseAddress, RCODE } from "./message.ts";
import { Zone } from "./zone.ts";

function zone(): Zone {
  const z = new Zone();
  z.setNetwork("n1", { name: "front", internal: false });
  z.setNetwork("n2", { name: "back", internal: true });
  z.register("web", [{ networkId: "n1", ip: "172.18.0.2", ip6: "fd00::2", names: ["web", "Site", "aaaaaaaaaaaa"] }]);
  z.register("db", [{ networkId: "n2", ip: "172.19.0.2", ip6: null, names: ["db"] }]);
  z.register("app", [
    { networkId: "n1", ip: "172.18.0.3", ip6: null, names: ["app", "site"] }, { networkId: "n2", ip: "172.19.0.3", ip6: null, names: ["app", "db-client"] },
  ]);
  return z;
}

describe("Zone", () => {
  it("answers for the networks of the asker alone", () => {
    const z = zone();
    assert.deepEqual(z.resolve("app", "DB")?.ip, ["172.19.0.2"]);
    assert.deepEqual(z.resolve("app", "web"), { ip: ["172.18.0.2"], ip6: ["fd00::2"] });
    assert.equal(z.resolve("web", "db"), null);
    assert.equal(z.resolve("nobody", "web"), null);
    assert.deepEqual(z.resolve("db", "app")?.ip, ["172.19.0.3"]);
  });
  it("takes names with their network", () => {
    const z = zone();
    assert.deepEqual(z.resolve("app", "app.back")?.ip, ["172.19.0.3"]);
    assert.deepEqual(z.resolve("app", "app.front")?.ip, ["172.18.0.3"]);
    assert.equal(z.resolve("web", "db.back"), null);
    assert.equal(z.resolve("web", "web.elsewhere"), null);
  });
  it("lets containers that share an alias take turns", () => {
    const z = zone();
    assert.deepEqual([1, 2, 3].map(() => z.resolve("web", "site")?.ip), [["172.18.0.2", "172.18.0.3"], ["172.18.0.3", "172.18.0.2"], ["172.18.0.2", "172.18.0.3"]]);
    z.unregister("web");
    assert.deepEqual(z.resolve("app", "site")?.ip, ["172.18.0.3"]);
    assert.equal(z.resolve("app", "web"), null);
  });
  it("finds names by address", () => {
    const z = zone();
    assert.equal(z.reverse("app", "172.18.0.2"), "web.front");
    assert.equal(z.reverse("app", "FD00::2"), "web.front");
    assert.equal(z.reverse("web", "172.19.0.2"), null);
  });
  it("forwards nothing for a container on internal networks alone", () => {
    const z = zone();
    assert.deepEqual(["web", "db", "app", "nobody"].map((c) => z.mayForward(c)), [true, false, true, true]);
  });
});

const rcodeOf = (bytes: Buffer) => bytes[3]! & 0x0f;

describe("DNS messages", () => {
  const ask = (name: string, type: packet.RecordType, edns = false) => readQuery(packet.encode({
    type: "query", id: 7, flags: packet.RECURSION_DESIRED, questions: [{ name, type }],
    additionals: edns ? [{ type: "OPT", name: ".", udpPayloadSize: 4096, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] }] : [],
  }))!;
  const answer = (z: Zone, who: string, name: string, type: packet.RecordType) => {
    const bytes = answerLocally(z, who, ask(name, type), true);
    return bytes === null ? null : { ...packet.decode(bytes), rcode: rcodeOf(bytes) };
  };
  it("answers A, AAAA and PTR, and nothing but NOERROR for other types of a known name", () => {
    const z = zone();
    const a = answer(z, "app", "Web", "A")!;
    assert.deepEqual(a.answers?.map((r) => [r.type, r.name, (r as packet.StringAnswer).data]), [["A", "Web", "172.18.0.2"]]);
    assert.equal(a.id, 7);
    assert.ok(a.flag_rd && a.flag_ra);
    assert.deepEqual(answer(z, "app", "web", "AAAA")!.answers?.map((r) => (r as packet.StringAnswer).data), ["fd00::2"]);
    for (const type of ["AAAA", "MX", "TXT", "SRV"] as const) {
      const empty = answer(z, "app", "db", type)!;
      assert.deepEqual([empty.answers, empty.rcode], [[], 0], type);
    }
    assert.deepEqual(answer(z, "app", "2.0.18.172.in-addr.arpa", "PTR")!.answers?.map((r) => (r as packet.StringAnswer).data), ["web.front"]);
    assert.equal(answer(z, "app", "unknown", "A"), null);
    assert.equal(answer(z, "app", "9.9.9.9.in-addr.arpa", "PTR"), null);
  });
  it("marks what does not fit into a datagram", () => {
    const z = zone();
    for (let i = 0; i < 100; i++) z.register(`c${i}`, [{ networkId: "n1", ip: `172.18.1.${i}`, ip6: null, names: ["many"] }]);
    const short = answerLocally(z, "app", ask("many", "A"), true)!;
    assert.ok(short.length <= 512);
    assert.ok(packet.decode(short).flag_tc);
    const large = packet.decode(answerLocally(z, "app", ask("many", "A", true), true)!);
    assert.equal(large.answers?.length, 100);
    assert.equal(packet.decode(answerLocally(z, "app", ask("many", "A"), false)!).answers?.length, 100);
  });
  it("refuses with the question repeated, and survives rubbish", () => {
    const bytes = refuse(ask("x.example", "A"), RCODE.serverFailure);
    const refused = packet.decode(bytes);
    assert.deepEqual([refused.id, rcodeOf(bytes), refused.questions?.[0]?.name], [7, RCODE.serverFailure, "x.example"]);
    for (const rubbish of [Buffer.alloc(0), Buffer.alloc(11), Buffer.alloc(12), Buffer.alloc(600, 0xff), Buffer.from("000701000001000000000000c00c", "hex")]) {
      assert.equal(readQuery(rubbish), null);
    }
    assert.equal(refuseUnread(Buffer.alloc(5), RCODE.formatError), null);
    assert.equal(rcodeOf(refuseUnread(Buffer.from("000701000001000000000000", "hex"), RCODE.formatError)!), RCODE.formatError);
  });
  it("reads reverse names", () => {
    assert.equal(reverseAddress(`2.${"0.".repeat(29)}d.f.ip6.arpa`), "fd00::2");
    assert.equal(reverseAddress("2.0.17.172.IN-ADDR.ARPA."), "172.17.0.2");
    assert.equal(reverseAddress("example.com"), null);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dnsWarning, renderHostname, renderHosts, renderHostsOfHost, renderResolvConf, type ResolvOptions } from "./files.ts";

const LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
const hosts = (more: Partial<Parameters<typeof renderHosts>[0]> = {}) =>
  renderHosts({ hostname: "0123456789ab", domainname: "", addresses: ["172.17.0.2"], extraHosts: [], hostGateway: "172.17.0.1", ...more });

describe("/etc/hosts", () => {
  it("names the container at its addresses", () => {
    assert.equal(hosts(), `${LOCAL}172.17.0.2\t0123456789ab\n`);
    assert.equal(hosts({ domainname: "example.com", addresses: ["172.18.0.2", "fd00::2"] }),
      `${LOCAL}172.18.0.2\t0123456789ab.example.com 0123456789ab\nfd00::2\t0123456789ab.example.com 0123456789ab\n`);
    assert.equal(hosts({ addresses: [] }), LOCAL);
  });
  it("has the extra hosts, in both notations", () => {
    assert.equal(hosts({ extraHosts: ["db:10.0.0.5", "v6:[fd00::5]", "w6=fd00::6", "host.docker.internal:host-gateway"], addresses: [] }),
      `${LOCAL}10.0.0.5\tdb\nfd00::5\tv6\nfd00::6\tw6\n172.17.0.1\thost.docker.internal\n`);
    assert.throws(() => hosts({ extraHosts: ["db"] }), /bad format for add-host/);
    assert.throws(() => hosts({ extraHosts: ["db:nowhere"] }), /invalid IP address in add-host: "nowhere"/);
    assert.throws(() => hosts({ extraHosts: ["a b:1.2.3.4"] }), /bad format/);
    assert.throws(() => hosts({ extraHosts: ["h:host-gateway"], hostGateway: null }), /unable to derive the IP value for host-gateway/);
  });
  it("is the host's with --network host", () => {
    assert.equal(renderHostsOfHost("127.0.0.1 localhost", [], null), "127.0.0.1 localhost");
    assert.equal(renderHostsOfHost("127.0.0.1 localhost", ["db:10.0.0.5"], null), "127.0.0.1 localhost\n10.0.0.5\tdb\n");
  });
  it("goes with a hostname file", () => assert.equal(renderHostname("web"), "web\n"));
});

describe("/etc/resolv.conf", () => {
  const HOST = "# comment\ndomain old.example\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # ours\nnameserver fe80::1%eth0\nsearch example.com example.net\noptions edns0 trust-ad\n";
  const body = (more: Partial<ResolvOptions>) => {
    const text = renderResolvConf({ hostFile: HOST, mode: "direct", dns: [], search: [], options: [], ...more });
    return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  };
  it("has the reachable servers of the host on the default bridge", () => {
    assert.deepEqual(body({}), ["nameserver 192.0.2.53", "search example.com example.net", "options edns0 trust-ad"]);
    assert.deepEqual(body({ hostFile: "nameserver 127.0.0.1\n", fallback: ["198.51.100.1"] }), ["nameserver 198.51.100.1"]);
  });
  it("has the server inside on user networks", () => {
    assert.deepEqual(body({ mode: "embedded" }), ["nameserver 127.0.0.11", "search example.com example.net", "options edns0 trust-ad ndots:0"]);
    assert.deepEqual(body({ mode: "embedded", dns: ["192.0.2.1"], search: ["."], options: ["ndots:2"] }), ["nameserver 127.0.0.11", "options ndots:2"]);
  });
  it("takes what is asked for", () => {
    assert.deepEqual(body({ dns: ["192.0.2.1", "127.0.0.1"], search: ["a.example"], options: ["timeout:1"] }),
      ["nameserver 192.0.2.1", "nameserver 127.0.0.1", "search a.example", "options timeout:1"]);
    assert.throws(() => body({ dns: ["resolver"] }), /invalid IP address: resolver/);
    assert.equal(dnsWarning(["192.0.2.1"]), null);
    assert.match(dnsWarning(["127.0.0.1"]) ?? "", /Localhost DNS setting/);
  });
  it("is the host's own with --network host", () => {
    assert.equal(renderResolvConf({ hostFile: HOST, mode: "host", dns: [], search: [], options: [] }), HOST);
    assert.deepEqual(body({ mode: "host", search: ["a.example"] }),
      ["nameserver 127.0.0.53", "nameserver 192.0.2.53", "nameserver fe80::1%eth0", "search a.example", "options edns0 trust-ad"]);
  });
});

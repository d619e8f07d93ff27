import assert from "node:assert/strict";
import dgram from "node:dgram";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import net from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { isGantryError, newId, silentLogger, systemClock } from "@gantry/kernel";
import { loadNative } from "@gantry/runtime";
import { openHostNetwork } from "./host.ts";
import { bridgeName } from "./names.ts";
import type { Endpoint, HostNetwork, NetworkConfig, PortRequest } from "./port.ts";
import { inHostNamespace, Peer } from "./testing/netns.ts";
import { call } from "./testing/peer.ts";

const INSTANCE = "0badcafe";
/** How long a way that must not be there is watched. */
const NEVER_MS = 250;
const HOST = "203.0.113.1";

function config(subnet: string, more: Partial<NetworkConfig> = {}): NetworkConfig {
  const id = newId();
  return {
    id, name: `net-${id.slice(0, 4)}`, bridge: bridgeName(INSTANCE, id), subnet, gateway: subnet.replace(/\.0\/\d+$/, ".1"), ipRange: null, ipv6: null,
    mtu: 1500, internal: false, icc: true, masquerade: true, ...more,
  };
}

inHostNamespace(import.meta.url, () => {
describe("the network of a host", { timeout: 60_000 }, () => {
  const native = loadNative().net;
  const open = () => openHostNetwork({ native, instance: INSTANCE, clock: systemClock, logger: silentLogger });
  let host: HostNetwork;
  let outside: Peer;
  /** Namespaces are used again, one test after the other: starting one costs more than most tests. */
  const idle: Peer[] = [];
  let used: { peer: Peer; id: string }[] = [];
  const main = config("172.17.0.0/16");

  /** Runs `check` with and without br_netfilter looking at bridged packets, where the kernel has it; hosts differ. */
  async function inBothBridgeModes(check: (mode: string) => Promise<void>): Promise<void> {
    const settings = ["iptables", "ip6tables"].map((name) => `/proc/sys/net/bridge/bridge-nf-call-${name}`).filter((path) => existsSync(path));
    for (const mode of settings.length === 0 ? ["0"] : ["1", "0"]) {
      for (const path of settings) writeFileSync(path, mode);
      await check(`bridge-nf-call-iptables=${mode}`);
    }
  }

  /** A namespace connected to a network as a container's is. */
  async function container(network: NetworkConfig, more: { ip?: string; defaultRoute?: boolean } = {}): Promise<{ peer: Peer; id: string; endpoint: Endpoint; ip: string }> {
    const peer = idle.pop() ?? await Peer.start();
    const id = newId();
    used.push({ peer, id });
    const endpoint = host.allocate({
      networkId: network.id, containerId: id, containerName: `c-${id.slice(0, 6)}`, hostname: id.slice(0, 12), ip: more.ip ?? null, ip6: null, mac: null,
      aliases: [], index: 0, defaultRoute: more.defaultRoute ?? true, dns: true,
    });
    await host.connect(endpoint, peer.pid);
    return { peer, id, endpoint, ip: endpoint.settings.IPAddress };
  }

  function publish(c: { id: string; endpoint: Endpoint }, ports: Partial<PortRequest>[]) {
    const { settings } = c.endpoint;
    return host.publish({
      containerId: c.id, containerName: "web", endpointId: settings.EndpointID, networkId: settings.NetworkID, ip: settings.IPAddress,
      ip6: settings.GlobalIPv6Address === "" ? null : settings.GlobalIPv6Address,
      ports: ports.map((p) => ({ hostIp: "", hostPort: 0, containerPort: 80, protocol: "tcp" as const, ...p })),
    });
  }

  before(async () => {
    host = await open();
    assert.deepEqual(await host.restore({ networks: [], endpoints: [], published: [] }), []);
    await host.ensureNetwork(main);
    // Another host: a namespace on a network that is none of ours.
    native.bridgeCreateSync("lan0", "02:00:00:00:00:01", 1500, [`${HOST}/24`, "fd00:9::1/64"]);
    outside = await Peer.start();
    native.vethCreateSync({ bridge: "lan0", hostName: "lanport", name: "eth0", mac: "02:00:00:00:00:02", addresses: ["203.0.113.9/24", "fd00:9::9/64"], gateway: HOST, gateway6: "fd00:9::1", mtu: 1500, netnsPid: outside.pid });
    await outside.serve("tcp", 7);
    await outside.serve("udp", 7);
  });
  afterEach(async () => {
    for (const { peer, id } of used) {
      await host.unpublish(id);
      for (const network of host.networks()) await host.disconnect(id, network.id);
      host.release(id, null);
      idle.push(peer);
    }
    used = [];
  });
  after(async () => {
    await Promise.all([...idle, outside].map((peer) => peer[Symbol.asyncDispose]()));
    await host.destroy();
  });

  it("gives Docker's addresses and interface", async () => {
    const c = await container(main);
    assert.equal(c.ip, "172.17.0.2");
    assert.equal(c.endpoint.interface.mac, "02:42:ac:11:00:02");
    assert.deepEqual(c.endpoint.interface.addresses, ["172.17.0.2/16"]);
    assert.equal(c.endpoint.interface.gateway, "172.17.0.1");
    assert.equal(c.endpoint.settings.IPPrefixLen, 16);
    assert.deepEqual(c.endpoint.settings.DNSNames, [`c-${c.id.slice(0, 6)}`, c.id.slice(0, 12)]);
    assert.ok(c.endpoint.interface.hostName.length <= 15);
  });

  it("lets containers of a network talk, and reach other hosts behind the host's address", async () => {
    const [a, b] = await Promise.all([container(main), container(main)]);
    await b.peer.serve("tcp", 80);
    assert.equal(await a.peer.call("tcp", b.ip, 80), a.ip);
    assert.equal(await a.peer.call("tcp", "203.0.113.9", 7), HOST);
    assert.equal(await a.peer.call("udp", "203.0.113.9", 7), HOST);
  });

  it("keeps other hosts away from what is not published, also by the container's own address", async () => {
    const c = await container(main);
    await c.peer.serve("tcp", 80);
    assert.equal(await call("tcp", c.ip, 80, 2000), "172.17.0.1", "the host itself may");
    assert.equal(await outside.call("tcp", c.ip, 80, NEVER_MS), null);
    await publish(c, [{ hostPort: 8000 }]);
    assert.equal(await outside.call("tcp", c.ip, 80, NEVER_MS), null);
    assert.equal(await outside.call("tcp", HOST, 8000), "203.0.113.9");
  });

  it("answers on a published port from everywhere", async () => {
    const [c, neighbour] = await Promise.all([container(main), container(main)]);
    for (const protocol of ["tcp", "udp"] as const) {
      await c.peer.serve(protocol, 80);
    }
    const bindings = await publish(c, [{ hostPort: 8080 }, { hostPort: 8080, protocol: "udp" }]);
    assert.deepEqual(bindings.map((b) => `${b.hostIp} ${b.hostPort} ${b.protocol}`), ["0.0.0.0 8080 tcp", ":: 8080 tcp", "0.0.0.0 8080 udp", ":: 8080 udp"]);
    await inBothBridgeModes(async (mode) => {
      for (const protocol of ["tcp", "udp"] as const) {
        assert.equal(await outside.call(protocol, HOST, 8080), "203.0.113.9", `${protocol}: another host, its address kept`);
        assert.equal(await call(protocol, "127.0.0.1", 8080, 2000), "172.17.0.1", `${protocol}: loopback`);
        assert.equal(await call(protocol, HOST, 8080, 2000), HOST, `${protocol}: the host by its address`);
        assert.equal(await call(protocol, "::1", 8080, 2000), "172.17.0.1", `${protocol}: IPv6 loopback`);
        assert.ok(await neighbour.peer.call(protocol, HOST, 8080), `${protocol}: a container of the same network, ${mode}`);
        assert.ok(await c.peer.call(protocol, HOST, 8080), `${protocol}: the container itself, ${mode}`);
      }
    });
    await host.unpublish(c.id);
    for (const address of ["127.0.0.1", HOST, "::1"]) assert.equal(await call("tcp", address, 8080, NEVER_MS), null);
  });

  it("publishes on loopback for the host alone", async () => {
    const c = await container(main);
    await c.peer.serve("tcp", 80);
    assert.deepEqual(await publish(c, [{ hostIp: "127.0.0.1", hostPort: 8081 }]), [{ hostIp: "127.0.0.1", hostPort: 8081, containerPort: 80, protocol: "tcp" }]);
    assert.equal(await call("tcp", "127.0.0.1", 8081, 2000), "172.17.0.1");
    assert.equal(await outside.call("tcp", HOST, 8081, NEVER_MS), null);
    const ownServer = net.createServer((socket) => socket.end("host")).listen(8071, "127.0.0.1");
    await once(ownServer, "listening");
    // Neither a neighbour nor a container gets to the host's loopback by sending packets for 127.0.0.1 its way.
    for (const [peer, way] of [[outside, HOST], [c.peer, "172.17.0.1"]] as const) {
      peer.run(`echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet && busybox ip route add 127.0.0.1/32 via ${way} dev eth0`);
      for (const port of [8081, 8071]) assert.equal(await peer.call("tcp", "127.0.0.1", port, NEVER_MS), null, `${way} ${port}`);
    }
    ownServer.close();
    outside.run("busybox ip route del 127.0.0.1/32");
  });

  it("gives free ports one after the other, the same for IPv4 and IPv6", async () => {
    const c = await container(main);
    const bindings = await publish(c, [{}, { containerPort: 81 }, { hostPort: [8090, 8091], containerPort: 82 }, { hostPort: [8090, 8091], containerPort: 83 }]);
    const ports = bindings.map((b) => b.hostPort);
    assert.equal(ports[0], ports[1]);
    assert.equal(ports[2], ports[0]! + 1);
    assert.ok(ports[0]! >= 32768 && ports[0]! <= 60999);
    assert.deepEqual(ports.slice(4), [8090, 8090, 8091, 8091]);
  });

  it("refuses a port that is taken, in Docker's words, and leaves nothing half done", async () => {
    const [a, b] = await Promise.all([container(main), container(main)]);
    await publish(a, [{ hostPort: 8082 }]);
    await assert.rejects(publish(b, [{ hostPort: 8083 }, { hostPort: 8082 }]), (e: Error) => {
      assert.ok(isGantryError(e, "CONFLICT"));
      assert.equal(e.message, `driver failed programming external connectivity on endpoint web (${b.endpoint.settings.EndpointID}): Bind for 0.0.0.0:8082 failed: port is already allocated`);
      return true;
    });
    const other = net.createServer().listen(8084, "127.0.0.1");
    await once(other, "listening");
    await assert.rejects(publish(b, [{ hostPort: 8083 }, { hostPort: 8084 }]), /failed to bind host port for 0\.0\.0\.0:8084:.*: address already in use/);
    other.close();
    assert.equal((await publish(b, [{ hostPort: 8083 }, { hostPort: 8084 }])).length, 4);
  });

  it("separates networks, but for published ports", async () => {
    const second = config("172.18.0.0/16");
    await host.ensureNetwork(second);
    const [a, b] = await Promise.all([container(main), container(second)]);
    await b.peer.serve("tcp", 80);
    assert.equal(await a.peer.call("tcp", b.ip, 80, NEVER_MS), null);
    await publish(b, [{ hostPort: 8085 }]);
    assert.ok(await a.peer.call("tcp", HOST, 8085));
    // Connected to the second network as well, it gets through.
    const endpoint = host.allocate({
      networkId: second.id, containerId: a.id, containerName: "a", hostname: "", ip: "172.18.5.5", ip6: null, mac: "02:11:22:33:44:55", aliases: ["x"], index: 1,
      defaultRoute: false, dns: true,
    });
    await host.connect(endpoint, a.peer.pid);
    assert.equal(await a.peer.call("tcp", b.ip, 80), "172.18.5.5");
    await host.disconnect(a.id, second.id);
    assert.equal(await a.peer.call("tcp", b.ip, 80, NEVER_MS), null);
    await assert.rejects(host.removeNetwork(second.id), /has active endpoints/);
  });

  it("gives a network another subnet while no address of it is in use", async () => {
    const before = config("172.30.0.0/16");
    const moved = { ...config("172.31.0.0/16"), id: before.id, bridge: before.bridge };
    await host.ensureNetwork(before);
    const c = await container(before);
    await assert.rejects(host.ensureNetwork(moved), /has active endpoints: its subnet cannot change from 172\.30\.0\.0\/16 to 172\.31\.0\.0\/16/);
    assert.equal((await container(before)).ip, "172.30.0.3");
    for (const { peer, id } of used) { await host.disconnect(id, before.id); host.release(id, null); idle.push(peer); }
    used = [];
    await host.ensureNetwork(moved);
    const [a, b] = [await container(moved), await container(moved)];
    assert.notEqual(a.id, c.id);
    assert.deepEqual([a.ip, a.endpoint.interface.gateway], ["172.31.0.2", "172.31.0.1"]);
    await b.peer.serve("tcp", 80);
    assert.equal(await a.peer.call("tcp", b.ip, 80), a.ip);
    assert.equal(await a.peer.call("tcp", "203.0.113.9", 7), HOST);
    assert.deepEqual((await host.usedSubnets()).filter((subnet) => /^172\.3[01]\./.test(subnet)), ["172.31.0.0/16"]);
  });

  it("closes internal networks to and from the world", async () => {
    const internal = config("172.19.0.0/16", { internal: true });
    await host.ensureNetwork(internal);
    const [a, b] = await Promise.all([container(internal), container(internal)]);
    assert.equal(a.endpoint.interface.gateway, null);
    await b.peer.serve("tcp", 80);
    assert.equal(await a.peer.call("tcp", b.ip, 80), a.ip);
    assert.equal(await a.peer.call("tcp", "203.0.113.9", 7, NEVER_MS), null);
    assert.equal(await outside.call("tcp", b.ip, 80, NEVER_MS), null);
  });

  it("closes a network to its own with icc=false, but for published ports", async () => {
    const closed = config("172.20.0.0/16", { icc: false });
    await host.ensureNetwork(closed);
    const [a, b] = await Promise.all([container(closed), container(closed)]);
    await b.peer.serve("tcp", 80);
    await inBothBridgeModes(async (mode) => {
      assert.equal(await a.peer.call("tcp", b.ip, 80, NEVER_MS), null, mode);
      assert.equal(await call("tcp", b.ip, 80, 2000), "172.20.0.1", mode);
      assert.equal(await a.peer.call("tcp", "203.0.113.9", 7), HOST, mode);
    });
  });

  it("serves IPv6 networks", async () => {
    const six = config("172.21.0.0/16", { ipv6: { subnet: "fd00:5::/64", gateway: "fd00:5::1" } });
    await host.ensureNetwork(six);
    const [a, b] = await Promise.all([container(six), container(six)]);
    const { GlobalIPv6Address: address, GlobalIPv6PrefixLen: prefix, IPv6Gateway: gateway } = b.endpoint.settings;
    assert.deepEqual([prefix, gateway], [64, "fd00:5::1"]);
    assert.match(address, /^fd00:5::[23]$/);
    await b.peer.serve("tcp", 80);
    assert.equal(await a.peer.call("tcp", address, 80), a.endpoint.settings.GlobalIPv6Address);
    assert.equal(await a.peer.call("tcp", "fd00:9::9", 7), "fd00:9::1", "masqueraded");
    assert.equal(await outside.call("tcp", address, 80, NEVER_MS), null);
    await publish(b, [{ hostPort: 8087 }]);
    assert.equal(await outside.call("tcp", "fd00:9::1", 8087), "fd00:9::9");
    assert.ok(await call("tcp", "::1", 8087, 2000));
    assert.ok(await call("tcp", "127.0.0.1", 8087, 2000));
    assert.ok(await a.peer.call("tcp", "fd00:9::1", 8087));
    assert.ok(await b.peer.call("tcp", "fd00:9::1", 8087));
  });

  it("leads UDP clients that keep their port to what is published now", async () => {
    const client = dgram.createSocket("udp4");
    client.bind(0, HOST);
    await once(client, "listening");
    const ask = async () => {
      const answer = once(client, "message", { signal: AbortSignal.timeout(1000) }).then(() => true, () => false);
      client.send("?", 8088, HOST);
      return answer;
    };
    const [a, b] = await Promise.all([container(main), container(main)]);
    await Promise.all([a.peer.serve("udp", 80), b.peer.serve("udp", 80)]);
    await publish(a, [{ hostPort: 8088, protocol: "udp" }]);
    assert.ok(await ask());
    await host.unpublish(a.id);
    await host.disconnect(a.id, main.id);
    await publish(b, [{ hostPort: 8088, protocol: "udp" }]);
    assert.ok(await ask());
    client.close();
  });

  it("carries many networks, and refuses overlapping ones and addresses in use", async () => {
    for (let i = 0; i < 40; i++) await host.ensureNetwork(config(`192.168.${i}.0/24`));
    await assert.rejects(host.ensureNetwork(config("172.17.128.0/20")), /Pool overlaps with other one on this address space/);
    const c = await container(main, { ip: "172.17.9.9" });
    assert.equal(c.ip, "172.17.9.9");
    await assert.rejects(container(main, { ip: "172.17.9.9" }), /^GantryError: Address already in use$/);
    await assert.rejects(container(main, { ip: "10.0.0.1" }), /no configured subnet or ip-range contain the IP address 10\.0\.0\.1/);
  });

  it("writes its rules anew when others flushed them", async () => {
    const c = await container(main);
    await c.peer.serve("tcp", 80);
    await native.nft("flush ruleset");
    await publish(c, [{ hostPort: 8086 }]);
    assert.equal(await outside.call("tcp", HOST, 8086), "203.0.113.9");
    assert.equal(await outside.call("tcp", c.ip, 80, NEVER_MS), null);
  });

  it("passes a firewall that drops what is forwarded, as Docker's does, and leaves it as it was", { skip: existsSync("/usr/sbin/iptables-nft") ? false : "needs iptables" }, async () => {
    await native.nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }");
    const c = await container(main);
    assert.equal(await c.peer.call("tcp", "203.0.113.9", 7, NEVER_MS), null);
    const again = await open();
    await again.restore({ networks: host.networks(), endpoints: [], published: [] });
    assert.equal(await c.peer.call("tcp", "203.0.113.9", 7), HOST);
    assert.match(await native.nft("list chain ip filter FORWARD"), /gy0bad\*/);
    await again.destroy();
    assert.doesNotMatch(await native.nft("list chain ip filter FORWARD"), /gy0bad/);
    await native.nft("delete table ip filter");
  });

  it("leaves nothing behind", async () => {
    await host.destroy();
    assert.deepEqual(await host.leftovers(), []);
  });
});

describe("a host that starts again", { timeout: 30_000 }, () => {
  it("takes over running containers and their ports, and removes what nobody knows", async () => {
    const native = loadNative().net;
    const options = { native, instance: "0badf00d", clock: systemClock, logger: silentLogger };
    const id = newId();
    const [kept, gone] = ["172.17.0.0/16", "172.18.0.0/16"].map((subnet) => config(subnet)) as [NetworkConfig, NetworkConfig];
    await using peer = await Peer.start();
    const published = { containerId: id, containerName: "web", endpointId: newId(), networkId: kept.id, ip: "172.17.0.2", ip6: null };
    const first = await openHostNetwork(options);
    await first.restore({ networks: [kept, gone], endpoints: [], published: [] });
    const endpoint = first.allocate({
      networkId: kept.id, containerId: id, containerName: "web", hostname: "", ip: null, ip6: null, mac: null, aliases: [], index: 0, defaultRoute: true, dns: false,
    });
    await first.connect(endpoint, peer.pid);
    await peer.serve("tcp", 80);
    const bindings = await first.publish({ ...published, ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" }] });
    await first[Symbol.asyncDispose]();
    assert.equal(await call("tcp", "127.0.0.1", 8080, 2000), "172.17.0.1", "ports stay open while nobody is there");

    const second = await openHostNetwork(options);
    const problems = await second.restore({
      networks: [kept], endpoints: [{ networkId: kept.id, containerId: id, ip: "172.17.0.2", ip6: null }], published: [{ ...published, bindings }],
    });
    assert.deepEqual(problems, []);
    assert.equal(await call("tcp", "127.0.0.1", 8080, 2000), "172.17.0.1");
    assert.equal(await call("tcp", "::1", 8080, 2000), "172.17.0.1");
    assert.equal(native.linkExistsSync(gone.bridge), false);
    const next = second.allocate({
      networkId: kept.id, containerId: newId(), containerName: "n", hostname: "", ip: null, ip6: null, mac: null, aliases: [], index: 0, defaultRoute: true, dns: false,
    });
    assert.equal(next.settings.IPAddress, "172.17.0.3");
    assert.notDeepEqual(await second.leftovers(), []);
    await second.destroy();
    assert.deepEqual(await second.leftovers(), []);
    assert.equal(await call("tcp", "127.0.0.1", 8080, 400), null);
  });
});
});

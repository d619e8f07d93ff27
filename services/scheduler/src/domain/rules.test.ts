import assert from "node:assert/strict";
import { test } from "node:test";
import { applyChange, committedConfig } from "./commit.ts";
import { readConfig } from "./config.ts";
import { checkEndpoint, contains, networkModeOf, readEndpoint, wantedNetworks } from "./endpoints.ts";
import { checkHostConfig, readHostConfig } from "./host-config.ts";
import { checkName, generateName, nameInUse } from "./names.ts";
import { networkFromBody, predefinedNetworks } from "./network.ts";
import type { Json } from "./read.ts";
import { chooseContainer } from "./reference.ts";
import { untilMillis } from "./until.ts";

test("names: made ones pass the rules they are checked by", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let i = 0; i < 500; i++) {
    const name = generateName(random, i % 3);
    assert.equal(checkName(name), name);
    assert.match(name, /^[a-z]+_[a-z]+\d?$/);
  }
  assert.equal(checkName("/x1"), "x1");
  for (const bad of ["x", "-ab", "a b", "", "ä1"]) assert.throws(() => checkName(bad), { code: "INVALID" });
  assert.equal(nameInUse("x1", "ab").message, 'Conflict. The container name "/x1" is already in use by container "ab". You have to remove (or rename) that container to be able to reuse that name.');
});

test("a reference is an ID, then a name, then a unique prefix", () => {
  assert.equal(chooseContainer("abc", { byId: null, byName: "1", byPrefix: ["2"] }), "1");
  assert.equal(chooseContainer("abc", { byId: null, byName: null, byPrefix: ["2"] }), "2");
  assert.throws(() => chooseContainer("abc", { byId: null, byName: null, byPrefix: ["2", "3"] }), { message: "multiple IDs found with provided prefix: abc" });
  assert.throws(() => chooseContainer("abc", { byId: null, byName: null, byPrefix: [] }), { code: "NO_SUCH_CONTAINER", message: "No such container: abc" });
});

test("HostConfig: defaults, and contradictions in Docker's words", () => {
  const read = (host: Json) => { const config = readHostConfig(host); checkHostConfig(config); return config; };
  assert.deepEqual([read({}).ShmSize, read({}).IpcMode, read({}).RestartPolicy.Name, read({}).CgroupnsMode], [67108864, "private", "no", "private"]);
  assert.deepEqual(read({ PortBindings: { 80: [] } }).PortBindings, { "80/tcp": [{ HostIp: "", HostPort: "" }] });
  const refused = (host: Json, message: string | RegExp) => assert.throws(() => read(host), typeof message === "string" ? { code: "INVALID", message } : message);
  refused({ AutoRemove: true, RestartPolicy: { Name: "always" } }, "can't create 'AutoRemove' container with restart policy");
  refused({ Memory: 1024 }, "Minimum memory limit allowed is 6MB");
  refused({ Memory: 2 ** 30, MemorySwap: 2 ** 29 }, "Minimum memoryswap limit should be larger than memory limit, see usage");
  refused({ NanoCpus: 1e9, CpuQuota: 5000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  refused({ RestartPolicy: { Name: "sometimes" } }, /unknown policy 'sometimes'/);
  refused({ NetworkMode: "container:x", PortBindings: { "80/tcp": [{}] } }, /port publishing and the container type network mode/);
  refused({ OomScoreAdj: 2000 }, /range for oom score adj is \[-1000, 1000\]/);
  refused({ PortBindings: { "80/tcp": [{ HostPort: "123456" }] } }, /invalid port specification/);
});

test("networks a container asks for: the network mode's first, default means bridge", () => {
  const modes = (host: Json, networking: Json) => wantedNetworks(readHostConfig(host), networking, "").map(([ref]) => ref);
  assert.equal(networkModeOf("default"), "bridge");
  assert.deepEqual(modes({}, {}), ["bridge"]);
  assert.deepEqual(modes({ NetworkMode: "front" }, { EndpointsConfig: { back: {}, front: { Aliases: ["x"] } } }), ["front", "back"]);
  assert.deepEqual(modes({ NetworkMode: "container:x" }, {}), []);
  assert.throws(() => modes({ NetworkMode: "host" }, { EndpointsConfig: { back: {} } }), { code: "INVALID" });
  assert.throws(() => readEndpoint({ IPAMConfig: { IPv4Address: "1.2.3" } }), /invalid IPv4 address: 1.2.3/);
});

test("networks: subnets are picked free of others, checked when given", () => {
  const identity = { id: "1".repeat(64), created: "2026-01-01T00:00:00Z" };
  const [bridge] = predefinedNetworks(() => "a".repeat(64), identity.created, ["172.17.0.0/16"]);
  assert.equal(bridge!.IPAM.Config[0]!.Subnet, "172.18.0.0/16");
  const network = networkFromBody({ Name: "net" }, identity, ["172.17.0.0/16", "172.18.0.0/16"]);
  assert.deepEqual(network.IPAM.Config, [{ Subnet: "172.19.0.0/16", Gateway: "172.19.0.1" }]);
  const make = (body: Json) => networkFromBody({ Name: "net", ...body }, identity, ["10.0.0.0/8"]);
  assert.throws(() => make({ IPAM: { Config: [{ Subnet: "10.1.0.0/16" }] } }), { code: "FORBIDDEN", message: "invalid pool request: Pool overlaps with other one on this address space" });
  assert.throws(() => make({ IPAM: { Config: [{ Subnet: "192.168.5.3/24" }] } }), /it should be 192.168.5.0\/24/);
  assert.throws(() => make({ Name: "bridge" }), { code: "FORBIDDEN" });
  assert.throws(() => make({ Driver: "weird" }), { code: "NOT_FOUND" });
  const fixed = make({ IPAM: { Config: [{ Subnet: "192.168.5.0/24" }] } });
  checkEndpoint(fixed, readEndpoint({ IPAMConfig: { IPv4Address: "192.168.5.9" } }));
  assert.deepEqual(readEndpoint({ IPAMConfig: { IPv4Address: "192.168.5.9", IPv6Address: "" } }).IPAMConfig, { IPv4Address: "192.168.5.9" }, "as Docker shows it: only what was asked for");
  assert.throws(() => checkEndpoint(fixed, readEndpoint({ IPAMConfig: { IPv4Address: "192.168.6.9" } })), /no configured subnet contains IP address 192.168.6.9/);
  assert.throws(() => checkEndpoint(bridge!, readEndpoint({ Aliases: ["x"] })), /only supported for user-defined networks/);
  assert.ok(contains("192.168.0.0/20", "192.168.15.255") && !contains("192.168.0.0/20", "192.168.16.0"));
});

test("commit: instructions change the config, the image gets one history row", () => {
  const config = readConfig({ Cmd: ["sh"], Env: ["A=1"], Hostname: "h", WorkingDir: "/w" });
  for (const line of ["CMD echo hi", 'ENTRYPOINT ["/e", "x"]', "ENV A=2 B='x y'", "LABEL k v w", "EXPOSE 80 53/udp", "WORKDIR sub", "USER node", 'VOLUME ["/v"]']) applyChange(config, line);
  assert.deepEqual(config.Cmd, ["/bin/sh", "-c", "echo hi"]);
  assert.deepEqual(config.Entrypoint, ["/e", "x"]);
  assert.deepEqual(config.Env, ["A=2", "B=x y"]);
  assert.deepEqual(config.Labels, { k: "v w" });
  assert.deepEqual(Object.keys(config.ExposedPorts), ["80/tcp", "53/udp"]);
  assert.deepEqual([config.WorkingDir, config.User], ["/w/sub", "node"]);
  assert.throws(() => applyChange(config, "RUN true"), { message: "RUN is not a valid change command" });
  const image = committedConfig({
    parent: { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: ["sha256:a"] }, history: [{ created_by: "x" }] }, config, containerId: "c",
    layer: { diffId: "sha256:b", empty: false }, created: "2026-01-01T00:00:00Z", author: "me", comment: "why",
  }) as { rootfs: { diff_ids: string[] }; history: Json[]; config: Json; author: string };
  assert.deepEqual(image.rootfs.diff_ids, ["sha256:a", "sha256:b"]);
  assert.deepEqual(image.history[1], { created: "2026-01-01T00:00:00Z", author: "me", created_by: "/bin/sh -c echo hi", comment: "why" });
  assert.equal("Hostname" in image.config, false);
});

test("until: durations, Unix times and dates", () => {
  assert.equal(untilMillis(["1h30m"], 10_000_000), 10_000_000 - 5_400_000);
  assert.equal(untilMillis(["1700000000"], 0), 1_700_000_000_000);
  assert.equal(untilMillis(["2026-01-01T00:00:00Z"], 0), Date.UTC(2026, 0, 1));
  assert.throws(() => untilMillis(["soon"], 0), { code: "INVALID" });
});

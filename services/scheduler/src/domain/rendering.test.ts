import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesContainer, checkContainerFilters, matchesLabels } from "./filters.ts";
import { inspectContainer } from "./inspect.ts";
import { commandText, listRow } from "./list-row.ts";
import { humanDuration, statusText } from "./status-text.ts";
import { unreachableText } from "./node.ts";
import { newState } from "./state.ts";
import { record, started } from "./test-record.ts";

const NOW = Date.parse("2026-11-24T04:46:00Z");
const running = { status: "running" as const, startedAt: started, pid: 42, ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8000" }, { HostIp: "::", HostPort: "8000" }] } };

test("lengths of time in Docker's words", () => {
  const cases: [number, string][] = [[0.5, "Less than a second"], [1, "1 second"], [59, "59 seconds"], [60, "About a minute"], [29 * 60, "29 minutes"], [3600, "About an hour"],
    [47 * 3600, "47 hours"], [3 * 86400, "3 days"], [20 * 86400, "2 weeks"], [300 * 86400, "10 months"], [3 * 365 * 86400, "3 years"]];
  for (const [seconds, text] of cases) assert.equal(humanDuration(seconds * 1000), text);
});

test("the STATUS column", () => {
  const state = { ...newState(), ...running };
  assert.equal(statusText(state, null, NOW), "Up 29 minutes");
  assert.equal(statusText(state, "starting", NOW), "Up 29 minutes (health: starting)");
  assert.equal(statusText(state, "healthy", NOW), "Up 29 minutes (healthy)");
  assert.equal(statusText({ ...state, status: "paused" }, null, NOW), "Up 29 minutes (Paused)");
  assert.equal(statusText({ ...state, status: "exited", exitCode: 137, finishedAt: "2026-11-24T04:45:55Z" }, null, NOW), "Exited (137) 5 seconds ago");
  assert.equal(statusText(newState(), null, NOW), "Created");
  assert.equal(statusText({ ...state, status: "restarting", exitCode: 1, finishedAt: "2026-11-24T04:45:55Z" }, null, NOW), "Restarting (1) 5 seconds ago");
});

const shown = { now: NOW, imageRef: null, sizes: null, unreachable: false };

test("a container whose node is unreachable says so, and keeps its state", () => {
  const row = listRow(record({ state: running }), { ...shown, unreachable: true });
  assert.deepEqual([row["State"], row["Status"]], ["running", `Up 29 minutes (unreachable: node ${record().nodeId})`]);
  const since = NOW - 12_000;
  assert.equal(unreachableText({ nodeId: "b", since }, NOW), `node b is unreachable since ${new Date(since).toISOString().slice(0, 19)}Z (12 seconds): its containers run on, and cannot be reached until it is back`);
});

test("a row of docker ps", () => {
  const row = listRow(record({ config: { ExposedPorts: { "80/tcp": {}, "53/udp": {} }, Cmd: ["sh", "-c", "sleep 1"] }, state: running }), shown);
  assert.deepEqual(row["Names"], ["/web"]);
  assert.equal(row["Command"], "sh -c 'sleep 1'");
  assert.equal(row["Created"], 1795493789);
  assert.deepEqual(row["Ports"], [{ IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8000, Type: "tcp" }, { IP: "::", PrivatePort: 80, PublicPort: 8000, Type: "tcp" }, { PrivatePort: 53, Type: "udp" }]);
  assert.equal(row["State"], "running");
  assert.deepEqual(listRow(record(), { ...shown, imageRef: "sha256:x" })["Image"], "sha256:x");
  assert.equal(commandText(["/bin/x y", "a b"]), "/bin/x y 'a b'");
});

test("inspect has the bridge's addresses at the top level too, and Docker's defaults", () => {
  const endpoint = { IPAddress: "172.17.0.2", IPPrefixLen: 16, Gateway: "172.17.0.1", EndpointID: "e", MacAddress: "02:42:ac:11:00:02" };
  const body = inspectContainer(record({ state: { ...running, networks: { bridge: endpoint } }, config: { Labels: { a: "b" } } }), null, null) as {
    State: Record<string, unknown>; NetworkSettings: Record<string, unknown> & { Networks: Record<string, Record<string, unknown>> }; HostConfig: Record<string, unknown>; Config: Record<string, unknown>;
  };
  assert.equal(body.NetworkSettings["IPAddress"], "172.17.0.2");
  assert.equal(body.NetworkSettings.Networks["bridge"]!["NetworkID"], "11".repeat(32));
  assert.deepEqual([body.State["Running"], body.State["Pid"], "Health" in body.State], [true, 42, false]);
  assert.equal(body.HostConfig["ShmSize"], 67108864);
  assert.ok((body.HostConfig["MaskedPaths"] as string[]).includes("/proc/kcore"));
  assert.equal(body.Config["Hostname"], "abababababab");
  assert.equal("ExposedPorts" in body.Config, false);
});

test("filters of docker ps", () => {
  const context = { ancestors: new Set<string>(), before: null, since: null, networks: new Set<string>() };
  const web = record({ config: { Labels: { tier: "front" }, ExposedPorts: { 80: {} } }, state: { status: "exited", exitCode: 3 } });
  const yes = (filters: Record<string, string[]>) => matchesContainer(web, filters, context);
  assert.ok(yes({ name: ["we"] }) && yes({ name: ["^/web$"] }) && !yes({ name: ["x"] }));
  assert.ok(yes({ id: ["abab"] }) && !yes({ id: ["cd"] }));
  assert.ok(yes({ status: ["running", "exited"] }) && !yes({ status: ["running"] }));
  assert.ok(yes({ exited: ["3"] }) && !yes({ exited: ["0"] }));
  assert.ok(yes({ label: ["tier=front"] }) && yes({ label: ["tier"] }) && !yes({ label: ["tier=back"] }));
  assert.ok(yes({ health: ["none"] }) && yes({ expose: ["79-81"] }) && !yes({ publish: ["80"] }));
  assert.ok(!yes({ ancestor: ["busybox"] }));
  assert.ok(matchesContainer(web, { ancestor: ["busybox"] }, { ...context, ancestors: new Set([web.imageId]) }));
  assert.ok(matchesLabels({ a: "" }, ["a="]));
  assert.throws(() => checkContainerFilters({ status: ["nope"] }), { message: "invalid filter 'status=nope'" });
  assert.throws(() => checkContainerFilters({ nope: ["x"] }), { message: "invalid filter 'nope'" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { DockerEvent } from "@gantry/contracts";
import { parseBuildLogLine } from "./build-log.ts";
import { parseBuildRequest } from "./build-options.ts";
import { parseRegistryConfig } from "./credentials.ts";
import { diskUsageBody } from "./disk-usage.ts";
import { eventMatches, eventRow } from "./event-filter.ts";
import { FILTERS, parseFilters } from "./filters.ts";
import { type BrowserHeaders, checkBrowser, hostOf, isLoopbackHost, parseListen } from "./host.ts";
import { withTagOrDigest } from "./image-name.ts";
import { mayUpgrade, routedUrl, versionOf } from "./path.ts";
import { bool, integer, json } from "./query.ts";
import { checkRemote, sniffContext } from "./remote-context.ts";
import { parseTimestamp } from "./timestamp.ts";
import { atLeast, negotiate } from "./version.ts";
import { parseCondition, Wait } from "./wait.ts";

const query = (text: string) => new URLSearchParams(text);

test("versions compare as numbers", () => {
  assert.ok(atLeast("1.44", "1.42"));
  assert.ok(!atLeast("1.9", "1.24"));
  assert.equal(negotiate(null), "1.51");
  assert.equal(negotiate("1.24"), "1.24");
  assert.throws(() => negotiate("1.52"), /too new/);
  assert.throws(() => negotiate("1.9"), /too old/);
  assert.throws(() => negotiate("1..2"), /invalid API version/);
});

test("paths lose their version, and names of images their slashes", () => {
  assert.equal(versionOf("/v1.51/info"), "1.51");
  assert.equal(versionOf("/volumes"), null);
  assert.equal(routedUrl("GET", "/v1.51/containers/json?all=1"), "/containers/json?all=1");
  assert.equal(routedUrl("GET", "/v1.51/images/localhost:5000/a/b:1/json?x=/"), "/images/localhost:5000%2Fa%2Fb:1/json?x=/");
  assert.equal(routedUrl("POST", "/images/a/b/push?tag=1"), "/images/a%2Fb/push?tag=1");
  assert.equal(routedUrl("DELETE", "/v1.30/images/a/json"), "/images/a%2Fjson");
  assert.equal(routedUrl("GET", "/images/json"), "/images/json");
  assert.equal(routedUrl("GET", "/images/get?names=a/b"), "/images/get?names=a/b");
  assert.equal(routedUrl("POST", "/images/create?fromImage=a"), "/images/create?fromImage=a");
  assert.equal(routedUrl("GET", "/images/a%2Fb/json"), "/images/a%2Fb/json");
});

test("only attach and exec start may upgrade", () => {
  assert.ok(mayUpgrade("POST", "/v1.51/containers/abc/attach?stdin=1"));
  assert.ok(mayUpgrade("POST", "/exec/abc/start"));
  assert.ok(!mayUpgrade("POST", "/v1.51/session"));
  assert.ok(!mayUpgrade("GET", "/containers/abc/attach/ws"));
});

test("truth values and numbers are read as Docker reads them", () => {
  for (const [value, want] of [["", false], ["0", false], ["no", false], ["False", false], ["none", false], ["1", true], ["true", true], ["2", true]] as const) {
    assert.equal(bool(query(`a=${value}`), "a"), want, value);
  }
  assert.equal(bool(query(""), "a", true), true);
  assert.equal(integer(query("t=-1"), "t"), -1);
  assert.equal(integer(query("t="), "t"), null);
  assert.throws(() => integer(query("t=1.5"), "t"), /not a whole number/);
  assert.throws(() => json(query("t={"), "t", null), /not JSON/);
});

test("filters come as maps and as lists", () => {
  assert.deepEqual(parseFilters('{"label":{"a=b":true,"c":true}}', FILTERS.containers), { label: ["a=b", "c"] });
  assert.deepEqual(parseFilters('{"label":["a"]}', FILTERS.containers), { label: ["a"] });
  assert.deepEqual(parseFilters("", FILTERS.containers), {});
  assert.throws(() => parseFilters('{"colour":["red"]}', FILTERS.containers), /invalid filter 'colour'/);
  assert.throws(() => parseFilters('{"label":3}', FILTERS.containers), /invalid filter/);
  assert.throws(() => parseFilters("[]", FILTERS.containers), /invalid filter/);
});

test("since and until come as Unix time, RFC 3339 and durations", () => {
  const now = 1_700_000_000_000_000_000n;
  assert.equal(parseTimestamp("1700000000.5", now), 1_700_000_000_500_000_000n);
  assert.equal(parseTimestamp("1700000000.000000001", now), 1_700_000_000_000_000_001n);
  assert.equal(parseTimestamp("10m", now), now - 600_000_000_000n);
  assert.equal(parseTimestamp("1h30m", now), now - 5_400_000_000_000n);
  assert.equal(parseTimestamp("2023-11-14T22:13:20.123456789Z", now), 1_700_000_000_123_456_789n);
  assert.equal(parseTimestamp(null, now), null);
  assert.throws(() => parseTimestamp("yesterday", now), /failed to parse/);
});

const event = (Type: string, Action: string, ID: string, Attributes: Record<string, string> = {}): DockerEvent =>
  ({ Type, Action, Actor: { ID, Attributes }, scope: "local", time: 1, timeNano: 1e9 }) as DockerEvent;

test("event filters: any value of a name, every name", () => {
  const die = event("container", "die", "abc123", { name: "web", image: "busybox:1", "com.example": "x" });
  assert.ok(eventMatches(die, {}));
  assert.ok(eventMatches(die, { type: ["image", "container"], event: ["die"] }));
  assert.ok(!eventMatches(die, { type: ["container"], event: ["start"] }));
  assert.ok(eventMatches(die, { container: ["web"] }));
  assert.ok(eventMatches(die, { container: ["abc"] }));
  assert.ok(eventMatches(die, { image: ["busybox"] }));
  assert.ok(eventMatches(die, { label: ["com.example=x"] }));
  assert.ok(!eventMatches(die, { label: ["com.example=y"] }));
  assert.ok(eventMatches(event("container", "health_status: healthy", "a"), { event: ["health_status"] }));
  assert.ok(eventMatches(event("network", "connect", "n1", { container: "abc123" }), { container: ["abc123"] }));
  assert.deepEqual(eventRow(die), { status: "die", id: "abc123", from: "busybox:1", ...die });
  assert.ok(!("status" in eventRow(event("network", "create", "n"))));
});

const running = { status: "running", exitCode: 0, startedAt: "t1", finishedAt: "t0", error: "" };
const exited = { ...running, status: "exited", exitCode: 3, finishedAt: "t2" };
const die = event("container", "die", "c", { exitCode: "3" });
const destroy = event("container", "destroy", "c");

test("wait for not-running", () => {
  assert.deepEqual(new Wait("not-running").look(exited), { StatusCode: 3 });
  assert.deepEqual(new Wait("not-running").look({ ...exited, status: "created", exitCode: 0 }), { StatusCode: 0 });
  const wait = new Wait("not-running");
  assert.equal(wait.look(running), null);
  assert.deepEqual(wait.event(die), { StatusCode: 3 });
});

test("wait for the next exit does not take the last one", () => {
  const wait = new Wait("next-exit");
  assert.equal(wait.look(exited), null);
  assert.equal(wait.look(exited), null);
  assert.deepEqual(wait.event(die), { StatusCode: 3 });
  const missed = new Wait("next-exit");
  missed.look(running);
  assert.deepEqual(missed.look(exited), { StatusCode: 3 });
});

test("wait for removal keeps the exit code", () => {
  const wait = new Wait("removed");
  assert.equal(wait.look(running), null);
  assert.equal(wait.event(die), null);
  assert.deepEqual(wait.event(destroy), { StatusCode: 3 });
  const gone = new Wait("removed");
  gone.look(exited);
  assert.deepEqual(gone.gone(), { StatusCode: 3 });
  assert.equal(parseCondition(""), "not-running");
  assert.throws(() => parseCondition("never"), /invalid condition/);
});

test("the build query becomes a spec", () => {
  const { spec, remote } = parseBuildRequest(query(
    't=a&t=b:1&dockerfile=D&buildargs={"A":"1","B":null}&labels={"l":"v"}&nocache=1&rm=1&q=&cachefrom=["x"]&extrahosts=h:1&memory=0&shmsize=64&ulimits=null&cpuperiod=0'), {});
  assert.equal(remote, null);
  assert.deepEqual(spec, {
    dockerfile: "D", tags: ["a", "b:1"], buildArgs: { A: "1", B: null }, labels: { l: "v" }, target: "", noCache: true, pull: false, rm: true, forceRm: false,
    quiet: false, cacheFrom: ["x"], networkMode: "default", extraHosts: ["h:1"], memory: 0, cpuShares: 0, shmSize: 64, squash: false, platform: "", auth: {},
  });
  assert.equal(parseBuildRequest(query("rm=0"), {}).spec.rm, false);
  assert.equal(parseBuildRequest(query("remote=http://x/y.tar"), {}).remote, "http://x/y.tar");
  assert.throws(() => parseBuildRequest(query("version=2"), {}), /DOCKER_BUILDKIT=0/);
  assert.throws(() => parseBuildRequest(query("t=UPPER"), {}), /invalid reference format/);
  assert.throws(() => parseBuildRequest(query("ulimits=[{}]"), {}), /--ulimit is not implemented/);
  assert.throws(() => parseBuildRequest(query("labels=[1]"), {}), /invalid value for labels/);
});

test("build log lines", () => {
  assert.deepEqual(parseBuildLogLine('{"seq":0,"message":{"stream":"x"}}'), { kind: "message", seq: 0, step: 0, message: { stream: "x" } });
  assert.deepEqual(parseBuildLogLine('{"seq":4,"end":{"state":"failed","imageId":null,"error":"no"}}'), { kind: "end", seq: 4, state: "failed", imageId: null, error: "no" });
  assert.equal(parseBuildLogLine("{"), null);
  assert.equal(parseBuildLogLine("{}"), null);
});

test("remote contexts", () => {
  assert.equal(sniffContext(Buffer.from([0x1f, 0x8b, 8])), "archive");
  assert.equal(sniffContext(Buffer.concat([Buffer.alloc(257), Buffer.from("ustar")])), "archive");
  assert.equal(sniffContext(Buffer.from("FROM scratch\n")), "dockerfile");
  for (const git of ["https://example.test/a.git#main", "git://x/y", "git@x:y"]) assert.throws(() => checkRemote(git), /git repository/);
  assert.throws(() => checkRemote("ftp://x"), /http\(s\) URL/);
});

test("credentials of a build", () => {
  const header = Buffer.from('{"r:5000":{"username":"u"}}').toString("base64url");
  assert.deepEqual(parseRegistryConfig(header), { "r:5000": { username: "u" } });
  assert.deepEqual(parseRegistryConfig(undefined), {});
  assert.throws(() => parseRegistryConfig("!!"), /X-Registry-Config/);
});

test("names with tags and digests", () => {
  assert.equal(withTagOrDigest("a/b", "1"), "a/b:1");
  assert.equal(withTagOrDigest("a", `sha256:${"0".repeat(64)}`), `a@sha256:${"0".repeat(64)}`);
  assert.throws(() => withTagOrDigest("A", "1"), /invalid reference format/);
});

test("listen addresses and Host headers", () => {
  assert.deepEqual(parseListen("unix:///run/x.sock"), { kind: "unix", path: "/run/x.sock" });
  assert.deepEqual(parseListen("unix:/run/x.sock"), { kind: "unix", path: "/run/x.sock" });
  assert.deepEqual(parseListen("tcp://127.0.0.1:2375"), { kind: "tcp", host: "127.0.0.1", port: 2375, secure: null });
  assert.deepEqual(parseListen("[::1]:0"), { kind: "tcp", host: "::1", port: 0, secure: null });
  assert.deepEqual(parseListen("http://localhost:2385/"), { kind: "tcp", host: "localhost", port: 2385, secure: false });
  assert.deepEqual(parseListen("https://0.0.0.0:2376"), { kind: "tcp", host: "0.0.0.0", port: 2376, secure: true });
  for (const text of ["unix:relative", "127.0.0.1", "127.0.0.1:99999", "ftp://127.0.0.1:1", "::1:80", "http://a/b:1", ""]) assert.equal(parseListen(text), null, text);
  assert.deepEqual(["localhost:1", "[::1]", "[::1]:80", "A.example", "a b", "a:b:c", "", "a/b", undefined].map(hostOf), ["localhost", "::1", "::1", "a.example", null, null, null, null, null]);
  assert.ok(isLoopbackHost("localhost") && isLoopbackHost("127.1.2.3") && isLoopbackHost("::1") && !isLoopbackHost("localhost.evil.example") && !isLoopbackHost("10.0.0.1"));
});

test("web pages of other sites are kept out, by Host, Origin and Sec-Fetch-Site", () => {
  const ask = (headers: BrowserHeaders, method = "GET", secure = false) => () => checkBrowser(method, headers, { secure, serves: isLoopbackHost });
  const host = "127.0.0.1:2385";
  for (const headers of [{}, { origin: `http://${host}` }, { "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }, { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }]) {
    assert.doesNotThrow(ask({ host, ...headers }), JSON.stringify(headers));
  }
  assert.doesNotThrow(ask({ host, origin: `https://${host}` }, "POST", true));
  for (const headers of [
    { host: "evil.example" }, { host: "evil.example:2385" }, { host: "" }, { host: "a b" }, { origin: "http://evil.example" }, { origin: "null" }, { origin: "" }, { origin: `https://${host}` },
    { origin: "http://127.0.0.1:8893" }, { origin: "http://localhost:2385" }, { "sec-fetch-site": "same-site" }, { "sec-fetch-site": "cross-site" },
  ]) assert.throws(ask({ host, ...headers }), { code: "FORBIDDEN" }, JSON.stringify(headers));
  assert.throws(() => checkBrowser("GET", {}, { secure: false, serves: () => true }), { code: "FORBIDDEN" });
  assert.throws(ask({ host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }, "POST"), { code: "FORBIDDEN" });
});

test("disk usage counts who uses what", () => {
  const body = diskUsageBody({
    layersSize: 9, images: [{ Id: "sha256:a" }, { Id: "sha256:b" }], volumes: [{ Name: "v" }],
    containers: [{ ImageID: "sha256:a", Mounts: [{ Type: "volume", Name: "v" }] }],
  }, () => true) as { Images: unknown; Volumes: unknown };
  assert.deepEqual(body.Images, [{ Id: "sha256:a", Containers: 1 }, { Id: "sha256:b", Containers: 0 }]);
  assert.deepEqual(body.Volumes, [{ Name: "v", UsageData: { RefCount: 1, Size: -1 } }]);
});

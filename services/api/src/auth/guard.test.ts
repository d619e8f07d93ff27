import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { text as readText } from "node:stream/consumers";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { containerList, newToken, schedulerInfo, tokenRemoved, volumeCreate } from "@gantry/contracts";
import { systemClock } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { openRig, type Rig } from "../test-rig.ts";
import { PaperTokens } from "../testing/paper-tokens.ts";

async function setUp(): Promise<{ rig: Rig; tokens: PaperTokens; ask(method: string, path: string, token?: string | null, headers?: Record<string, string>): ReturnType<Rig["request"]> }> {
  const rig = await openRig();
  const tokens = new PaperTokens(systemClock);
  await rig.serve([
    ...tokens.routes(),
    on(containerList, async () => ({ containers: [] })),
    on(volumeCreate, async ({ name }) => ({ volume: { Name: name } })),
  ]);
  const ask = (method: string, path: string, token: string | null = null, headers: Record<string, string> = {}) =>
    rig.request(method, path, { tcp: true, headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers } });
  return { rig, tokens, ask };
}

/** Sends bytes and reads all that comes back. */
async function raw(rig: Rig, bytes: string): Promise<string> {
  const [host, port] = rig.tcp.split(":");
  const socket = net.connect({ host: host!, port: Number(port) });
  await once(socket, "connect");
  socket.write(bytes);
  return await readText(socket);
}

test("over TCP nothing but /healthz is answered without a login; the unix socket is Docker's", async () => {
  const { rig, ask } = await setUp();
  await using _ = rig;
  for (const path of ["/_ping", "/version", "/info", "/v1.51/containers/json", "/nothing", "/v1/session", "/v1/nothing", "/docs", "/docs/json", "/v99.9/version"]) {
    const got = await ask("GET", path);
    assert.equal(got.status, 401, path);
    assert.equal(got.headers["www-authenticate"], "Bearer", path);
    for (const header of ["server", "api-version", "ostype"]) assert.equal(got.headers[header], undefined, `${path} ${header}`);
  }
  const head = await ask("HEAD", "/_ping");
  assert.equal(head.status, 401);
  const docker = await ask("GET", "/containers/json");
  assert.match(docker.message, /^log in with a token/);
  const problem = await ask("GET", "/v1/session");
  assert.match(problem.headers["content-type"]!, /^application\/problem\+json/);
  assert.equal(problem.json["code"], "UNAUTHORIZED");
  const health = await ask("GET", "/healthz");
  assert.deepEqual([health.status, health.text, health.headers["server"]], [200, "ok\n", undefined]);
  assert.equal((await rig.request("GET", "/_ping")).status, 200);
  assert.deepEqual((await rig.request("GET", "/v1/session")).json, { by: "socket", name: "", role: "admin", id: null });
});

test("each role may do what its own routes are", async () => {
  const { rig, tokens, ask } = await setUp();
  await using _ = rig;
  const [viewer, builder, admin] = (["viewer", "builder", "admin"] as const).map((role) => tokens.add({ role, name: `a ${role}` }));
  const statuses = async (method: string, path: string, body?: unknown) => Promise.all([viewer!, builder!, admin!].map(async ({ text }) =>
    (await rig.request(method, path, { tcp: true, headers: { authorization: `Bearer ${text}` }, ...(body === undefined ? {} : { body }) })).status));
  assert.deepEqual(await statuses("GET", "/_ping"), [200, 200, 200]);
  assert.deepEqual(await statuses("GET", "/v1.51/containers/json"), [200, 200, 200]);
  assert.deepEqual(await statuses("POST", "/volumes/create", { Name: "data" }), [403, 403, 201]);
  assert.deepEqual(await statuses("POST", "/images/create?fromImage=a"), [403, 404, 404]);
  assert.deepEqual(await statuses("GET", "/v1/tokens"), [403, 403, 200]);
  assert.deepEqual(await statuses("GET", "/docs/json"), [200, 200, 200]);
  assert.deepEqual(await statuses("GET", "/no/such/page"), [404, 404, 404]);
  // Spelled otherwise, it is the same route.
  for (const path of ["/v1.24/volumes/create", "/volumes/%63reate", "/v1.51/v1/tokens"]) assert.equal((await ask("POST", path, viewer!.text)).status, 403, path);

  const refused = await ask("POST", "/volumes/create", viewer!.text);
  assert.equal(refused.message, `the token ${viewer!.id} ("a viewer") has the role viewer; this needs the role admin`);
  assert.equal(refused.headers["www-authenticate"], 'Bearer error="insufficient_scope", scope="admin"');
  assert.deepEqual((await ask("GET", "/v1/session", builder!.text)).json, { by: "token", name: "a builder", role: "builder", id: builder!.id });
  assert.equal((await ask("POST", "/build?networkmode=host", builder!.text)).status, 403);
});

test("bad logins and odd headers are 401 and 4xx, never 500", async () => {
  const { rig, tokens, ask } = await setUp();
  await using _ = rig;
  const token = tokens.add({});
  const bad = [
    "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", `Bearer ${token.text}x`, `Bearer ${token.text.slice(0, -1)}`, `Token ${token.text}`, `Bearer  ${token.text} ${token.text}`,
    `Bearer ${newToken().text}`, `Bearer gantry_${token.id}_${"A".repeat(43)}`, `Bearer ${"a".repeat(100_000)}`, "Bearer \u00e9\u00ff", "Bearer null",
  ];
  for (const authorization of bad) {
    const got = await ask("GET", "/containers/json", null, { authorization });
    assert.equal(got.status, 401, authorization.slice(0, 60));
    assert.equal(got.headers["www-authenticate"], 'Bearer error="invalid_token"');
  }
  for (const cookie of ["", ";;;=", `gantry_${rig.tcp.split(":")[1]}=`, `gantry_${rig.tcp.split(":")[1]}=${token.text}`, "a=\u00ff"]) {
    assert.equal((await ask("GET", "/containers/json", null, { cookie })).status, 401, cookie);
  }
  const line = `Authorization: Bearer ${token.text}\r\n`;
  for (const [head, status] of [
    [`GET /_ping HTTP/1.1\r\n${line}`, 400], // no Host
    [`GET /_ping HTTP/1.1\r\nHost: \r\n${line}`, 403], [`GET /_ping HTTP/1.1\r\nHost: evil.example\r\n${line}`, 403], [`GET /_ping HTTP/1.1\r\nHost: 127.0.0.1:x\r\n${line}`, 403],
    [`GET /_ping HTTP/1.0\r\n${line}`, 403], [`GET /_ping HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n${line}`, 403],
    [`GET /_ping HTTP/1.1\r\nHost: 127.0.0.1\r\n${line}${line}`, 200], [`GET /%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n${line}`, 400], ["nonsense\r\n", 400], ["GET / HTTP/9.9\r\n", 400],
    [`POST /containers/x/attach HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n`, 401],
    [`POST /build HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n`, 401], [`POST /build HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n`, 401],
  ] as const) {
    const closing = /Content-Length|Transfer|Upgrade/.test(head) ? "" : "Connection: close\r\n";
    assert.equal(Number((await raw(rig, `${head}${closing}\r\n`)).split(" ")[1]), status, head);
  }
});

test("wrong logins are slowed down; a known token goes on working from the same address", async () => {
  const { rig, tokens, ask } = await setUp();
  await using _ = rig;
  const token = tokens.add({});
  assert.equal((await ask("GET", "/_ping", token.text)).status, 200);
  let last = await ask("GET", "/_ping", newToken().text);
  for (let i = 0; i < 40 && last.status === 401; i++) last = await ask("GET", "/_ping", newToken().text);
  assert.equal(last.status, 429);
  assert.match(last.headers["retry-after"]!, /^[12]$/);
  const asked = tokens.checks;
  for (let i = 0; i < 5; i++) await ask("GET", "/_ping", newToken().text);
  assert.ok(tokens.checks <= asked + 2, "the scheduler is not asked about more");
  assert.equal((await ask("GET", "/_ping", token.text)).status, 200);
  assert.equal((await ask("GET", "/_ping")).status, 401, "no login is no wrong one");
});

test("a removed token stops working, and its open streams end", async () => {
  const { rig, tokens, ask } = await setUp();
  await using _ = rig;
  const token = tokens.add({});
  const other = tokens.add({});
  const follow = async (text: string) => {
    const [host, port] = rig.tcp.split(":");
    const socket = net.connect({ host: host!, port: Number(port) });
    socket.on("error", () => {});
    socket.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${text}\r\n\r\n`);
    await once(socket, "data");
    return socket;
  };
  const [stream, kept] = [await follow(token.text), await follow(other.text)];
  tokens.remove(token.id);
  await rig.bus.publish(tokenRemoved, { ids: [token.id] });
  await waitFor(() => stream.closed);
  assert.equal((await ask("GET", "/_ping", token.text)).status, 401);
  assert.equal(kept.closed, false);
  kept.destroy();
});

test("tokens are made, listed and removed under /v1/tokens", async () => {
  const { rig, ask } = await setUp();
  await using _ = rig;
  const made = await rig.request("POST", "/v1/tokens", { body: { name: "ci", role: "builder" } });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.headers["cache-control"], "no-store");
  const { token, id } = made.json as { token: string; id: string };
  assert.match(token, new RegExp(`^gantry_${id}_`));
  assert.equal((await ask("GET", "/_ping", token)).status, 200);
  const list = await rig.request("GET", "/v1/tokens");
  assert.deepEqual(list.json["tokens"], [{ id, name: "ci", role: "builder", created: made.json["created"], expires: null, lastUsed: null }]);
  assert.ok(!list.text.includes("hash") && !made.text.includes("hash"));
  for (const body of [{}, { role: "root" }, { role: "admin", name: "x".repeat(129) }, { role: "admin", expires: 3 }, []]) {
    const refused = await rig.request("POST", "/v1/tokens", { body });
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.equal(refused.json["code"], "INVALID");
  }
  assert.equal((await rig.request("DELETE", "/v1/tokens/nonsense")).status, 400);
  const removed = await rig.request("DELETE", `/v1/tokens/${id}`);
  assert.deepEqual([removed.status, removed.text], [204, ""]);
  assert.equal((await rig.request("DELETE", `/v1/tokens/${id}`)).status, 404);
  const document = (await rig.request("GET", "/docs/json")).json as { paths: Record<string, Record<string, { responses: Record<string, unknown> }>> };
  assert.deepEqual(Object.keys(document.paths["/v1/tokens"]!), ["get", "post"]);
});

test("a token in the address becomes a browser session, which reads and posts from its own pages", async () => {
  const { rig, tokens, ask } = await setUp();
  await using _ = rig;
  const token = tokens.add({ role: "admin", name: "start" });
  const origin = `http://${rig.tcp}`;
  const login = await ask("GET", "/");
  assert.match(String(login.headers["content-security-policy"]), /frame-ancestors 'none'/);
  assert.equal(login.status, 401);
  assert.match(login.headers["content-type"]!, /^text\/html/);
  assert.ok(!login.text.includes("http-equiv"));
  assert.match((await ask("GET", "/", null, { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).text, /http-equiv="refresh"/);
  assert.equal((await ask("GET", "/?token=nonsense")).status, 401);

  const enter = await ask("GET", `/?token=${token.text}`);
  assert.equal(enter.status, 303);
  assert.equal(enter.headers.location, "/");
  assert.equal(enter.headers["cache-control"], "no-store");
  const set = enter.headers["set-cookie"]?.[0];
  assert.match(set!, new RegExp(`^gantry_${rig.tcp.split(":")[1]}=gantry_[^;]+; Path=/; HttpOnly; SameSite=Strict; Max-Age=4[0-9]{4}$`));
  const cookie = set!.split(";")[0]!;
  assert.ok(!cookie.includes(token.text));

  const page = await ask("GET", "/", null, { cookie });
  assert.match(page.text, /^The dashboard is not built/);
  assert.match(String(page.headers["content-security-policy"]), /frame-ancestors 'none'/);
  assert.equal((await ask("GET", "/assets/x.js")).status, 401);
  assert.equal((await ask("GET", "/assets/x.js", null, { cookie })).status, 404);
  assert.equal((await ask("GET", "/containers/json", null, { cookie })).status, 200);
  const session = await ask("GET", "/v1/session", null, { cookie });
  assert.deepEqual([session.json["by"], session.json["role"], session.json["name"]], ["session", "admin", "start"]);
  const text = cookie.slice(cookie.indexOf("=") + 1);
  assert.equal((await ask("GET", "/_ping", text)).status, 401, "a session is no token");
  assert.equal((await ask("GET", `/?token=${text}`)).status, 401);

  assert.equal((await ask("POST", "/volumes/create", null, { cookie })).status, 403);
  assert.equal((await ask("POST", "/volumes/create", null, { cookie, origin: "http://127.0.0.1:1" })).status, 403);
  assert.equal((await ask("DELETE", "/volumes/x", null, { cookie, origin })).status, 403);
  assert.equal((await ask("GET", "/containers/json", null, { cookie, "sec-fetch-site": "same-site" })).status, 403);
  assert.equal((await ask("POST", "/volumes/create", null, { cookie, origin })).status, 201);

  const out = await ask("POST", "/v1/session/end", null, { cookie, origin });
  assert.equal(out.status, 204, out.text);
  assert.match(out.headers["set-cookie"]![0]!, /=; .*Max-Age=0/);
  await rig.bus.publish(tokenRemoved, { ids: [text.split("_")[1]!] });
  await waitFor(async () => (await ask("GET", "/containers/json", null, { cookie })).status === 401);
});

test("the stock docker command logs in by HttpHeaders", async () => {
  const { rig, tokens } = await setUp();
  await using _ = rig;
  await rig.serve([on(schedulerInfo, async () => ({ containers: 0, running: 0, paused: 0, stopped: 0, nodes: [] }))]).catch(() => {});
  const { writeFile } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const viewer = tokens.add({ role: "viewer", name: "look" });
  const env = { DOCKER_HOST: `tcp://${rig.tcp}` };
  const without = await rig.docker(["ps"], { env });
  assert.equal(without.code, 1);
  assert.match(without.stderr, /Error response from daemon: log in with a token/);
  await writeFile(join(rig.dir, "config.json"), JSON.stringify({ HttpHeaders: { Authorization: `Bearer ${viewer.text}` } }));
  const ps = await rig.docker(["ps"], { env });
  assert.equal(ps.code, 0, ps.stderr);
  assert.match(ps.stdout, /^CONTAINER ID/);
  const refused = await rig.docker(["volume", "create", "v"], { env });
  assert.match(refused.stderr, /Error response from daemon: the token [0-9a-f]{16} \("look"\) has the role viewer; this needs the role admin/);
});

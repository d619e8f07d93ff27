import assert from "node:assert/strict";
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { createLocalBus } from "@gantry/bus";
import { silentLogger, systemClock } from "@gantry/kernel";
import { authority, tempDir, waitFor } from "@gantry/testkit";
import { Guard } from "../auth/guard.ts";
import { createApp } from "../http/app.ts";
import { PaperTokens } from "../testing/paper-tokens.ts";
import { listen } from "./listen.ts";
import { ServerTls } from "./tls.ts";

type Answer = { status: number; text: string; serial: string; resumed: boolean };

async function setUp(scope: AsyncDisposableStack, { clientCa = true } = {}) {
  const dir = tempDir(scope);
  const ca = authority(dir, "ca");
  const server = ca.issue("server", { subject: "/CN=gantry", names: "IP:127.0.0.1,DNS:engine.example", usage: "serverAuth" });
  const shared = { clock: systemClock, logger: silentLogger };
  const bus = scope.use(createLocalBus({ service: "test", ...shared }));
  const tokens = new PaperTokens(systemClock);
  scope.use(await bus.serve("scheduler", tokens.routes()));
  const app = await createApp([
    { method: "GET", path: "/_ping", handle: async (x) => x.json(x.identity) },
    { method: "POST", path: "/containers/create", handle: async (x) => x.json({}, 201) },
  ], { serverHeader: "test", logger: silentLogger, guard: scope.use(await Guard.open({ bus, ...shared })) });
  scope.defer(() => app.close());
  const tls = scope.use(await ServerTls.open({ cert: server.cert, key: server.key, clientCa: clientCa ? ca.cert : null, clientRole: "admin" }, { logger: silentLogger, lookMs: 25 }));
  const listener = scope.use(await listen("127.0.0.1:0", app, { logger: silentLogger, tls, names: ["proxy.example"] }));
  assert.match(listener.address, /^https:/);
  const port = Number(new URL(listener.address).port);
  const roots = readFileSync(ca.cert);
  const ask = (client: { cert: string; key: string } | null, { headers = {}, method = "GET", path = "/_ping", session }: { headers?: Record<string, string>; method?: string; path?: string; session?: Buffer | undefined } = {}) =>
    new Promise<Answer & { session: Buffer | undefined }>((resolve, reject) => {
      let kept: Buffer | undefined;
      const request = https.request({
        host: "127.0.0.1", servername: "engine.example", port, ca: roots, method, path, headers, agent: false, ...(session === undefined ? {} : { session }),
        ...(client === null ? {} : { cert: readFileSync(client.cert), key: readFileSync(client.key) }),
      }, (response) => {
        const socket = response.socket as TLSSocket;
        const { serialNumber } = socket.getPeerCertificate();
        const resumed = socket.isSessionReused();
        let text = "";
        response.on("data", (chunk) => { text += String(chunk); });
        response.on("end", () => setImmediate(() => resolve({ status: response.statusCode!, text, serial: serialNumber, resumed, session: kept })));
      });
      request.on("socket", (socket) => socket.on("session", (ticket: Buffer) => { kept = ticket; }));
      request.on("error", reject).end();
    });
  return { dir, ca, server, tokens, port, ask };
}

test("a client certificate is a login, with the role of its organizational unit", async () => {
  await using scope = new AsyncDisposableStack();
  const { dir, ca, tokens, ask } = await setUp(scope);
  const of = (name: string, subject: string) => ca.issue(name, { subject, usage: "clientAuth" });
  const identity = async (client: { cert: string; key: string }) => JSON.parse((await ask(client)).text) as unknown;
  assert.deepEqual(await identity(of("ann", "/CN=ann")), { by: "certificate", name: "ann", role: "admin", id: null });
  assert.deepEqual(await identity(of("bob", "/O=x/OU=viewer/CN=bob")), { by: "certificate", name: "bob", role: "viewer", id: null });
  assert.deepEqual(await identity(of("eve", "/OU=Research/CN=eve")), { by: "certificate", name: "eve", role: "admin", id: null });
  assert.deepEqual(await identity(of("both", "/OU=admin/OU=builder/CN=both")), { by: "certificate", name: "both", role: "builder", id: null });
  const bob = { cert: join(dir, "bob.pem"), key: join(dir, "bob-key.pem") };
  assert.equal((await ask(bob, { method: "POST", path: "/containers/create" })).status, 403);

  const token = tokens.add({ role: "builder", name: "ci" });
  const authorization = `Bearer ${token.text}`;
  assert.deepEqual(JSON.parse((await ask(null, { headers: { authorization } })).text), { by: "token", name: "ci", role: "builder", id: token.id });
  assert.deepEqual(JSON.parse((await ask(bob, { headers: { authorization } })).text), { by: "token", name: "ci", role: "builder", id: token.id }, "what is said in the request counts");
  assert.equal((await ask(bob, { headers: { authorization: "Bearer nonsense" } })).status, 401);
  assert.equal((await ask(null)).status, 401);
});

test("certificates of another CA, for servers, and where none are asked for, are no login", async () => {
  await using scope = new AsyncDisposableStack();
  const { dir, server, ca, ask } = await setUp(scope);
  const foreign = authority(dir, "foreign").issue("mallory", { subject: "/CN=mallory", usage: "clientAuth" });
  const refused = await ask(foreign);
  assert.equal(refused.status, 401);
  assert.match(refused.text, /the client certificate is not accepted: UNABLE_TO_/);
  const serving = await ask(server);
  assert.equal(serving.status, 401);
  assert.match(serving.text, /not accepted: INVALID_PURPOSE/);
  await using other = new AsyncDisposableStack();
  const without = await setUp(other, { clientCa: false });
  assert.equal((await without.ask(ca.issue("ann", { subject: "/CN=ann", usage: "clientAuth" }))).status, 401);
});

test("the Host header names the server: loopback, its certificate's names, those it was told", async () => {
  await using scope = new AsyncDisposableStack();
  const { ca, ask, port } = await setUp(scope);
  const ann = ca.issue("ann", { subject: "/CN=ann", usage: "clientAuth" });
  const status = async (headers: Record<string, string>) => (await ask(ann, { headers })).status;
  for (const host of ["localhost", "127.0.0.1:99", "engine.example:2376", "ENGINE.example", "proxy.example"]) assert.equal(await status({ host }), 200, host);
  for (const host of ["evil.example", "10.0.0.1", "gantry"]) assert.equal(await status({ host }), 403, host);
  assert.equal(await status({ origin: `https://127.0.0.1:${port}` }), 200);
  assert.equal(await status({ origin: `http://127.0.0.1:${port}` }), 403);
});

test("plain HTTP on the TLS port gets nothing, and harms nobody", async () => {
  await using scope = new AsyncDisposableStack();
  const { ask, port } = await setUp(scope);
  await assert.rejects(new Promise((resolve, reject) => { http.get({ host: "127.0.0.1", port, path: "/healthz", agent: false }, resolve).on("error", reject); }));
  assert.equal((await ask(null, { path: "/nothing" })).status, 401);
});

test("changed files are taken when they fit together, and a resumed session is judged by the new ones", async () => {
  await using scope = new AsyncDisposableStack();
  const { dir, ca, server, ask } = await setUp(scope);
  const ann = ca.issue("ann", { subject: "/CN=ann", usage: "clientAuth" });
  const first = await ask(ann);
  assert.equal(first.status, 200);
  const again = await ask(ann, { session: first.session });
  assert.deepEqual([again.status, again.resumed], [200, true]);

  const replace = (from: string, to: string): void => { copyFileSync(from, `${to}.new`); renameSync(`${to}.new`, to); };
  const next = ca.issue("next", { subject: "/CN=gantry", names: "DNS:engine.example", usage: "serverAuth" });
  writeFileSync(server.key, "nonsense");
  replace(next.cert, server.cert);
  assert.equal((await ask(ann)).serial, first.serial, "what does not fit is not taken");
  replace(next.key, server.key);
  await waitFor(async () => (await ask(ann)).serial !== first.serial);

  const before = await ask(ann);
  const otherCa = authority(dir, "other-ca");
  replace(otherCa.cert, ca.cert);
  await waitFor(async () => (await ask(ann)).status === 401);
  assert.equal((await ask(ann, { session: before.session })).status, 401, "its session does not outlive the CA that it was accepted by");
  assert.equal((await ask(otherCa.issue("zoe", { subject: "/CN=zoe", usage: "clientAuth" }))).status, 200);
});

test("files that cannot be used are named", async () => {
  await using scope = new AsyncDisposableStack();
  const dir = tempDir(scope);
  const ca = authority(dir, "ca");
  const [a, b] = ["a", "b"].map((name) => ca.issue(name, { subject: `/CN=${name}`, usage: "serverAuth" }));
  const open = (files: Partial<{ cert: string; key: string; clientCa: string }>) => ServerTls.open({ cert: a!.cert, key: a!.key, clientCa: null, clientRole: "admin", ...files }, { logger: silentLogger });
  await assert.rejects(open({ cert: join(dir, "missing.pem") }), { code: "INVALID", message: /cannot read .*missing\.pem/ });
  await assert.rejects(open({ key: b!.key }), { code: "INVALID", message: /is not the key of the certificate/ });
  await assert.rejects(open({ cert: a!.key }), { code: "INVALID", message: /holds no certificate/ });
  await assert.rejects(open({ key: a!.cert }), { code: "INVALID", message: /holds no private key/ });
  await assert.rejects(open({ clientCa: a!.key }), { code: "INVALID", message: /holds no certificate/ });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { text } from "node:stream/consumers";
import tls from "node:tls";
import { describe, it } from "node:test";
import { isGantryError, type Logger, silentLogger } from "@gantry/kernel";
import { HttpClient, type HttpAnswer } from "./client.ts";
import type { IssueOptions } from "./certificates/index.ts";
import { callerOf } from "./guard.ts";
import type { Identity } from "./identity.ts";
import { advertised, listen, type ListenOptions } from "./listen.ts";
import { openHttp } from "./open.ts";
import { Fleet } from "./testing/fleet.ts";

const DAY_MS = 86_400_000;
const GONE = { from: new Date(Date.now() - 10 * DAY_MS), days: 3 };
const TO_COME = { from: new Date(Date.now() + 5 * DAY_MS) };

/** Collects what is said at `warn`. */
function heard(): { logger: Logger; warnings: string[] } {
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, child: () => logger, warn: (fields, message) => { warnings.push(`${JSON.stringify(fields)} ${message ?? ""}`); } };
  return { logger, warnings };
}

interface Server extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Identities of the requests that got through. */
  readonly served: (Identity | null)[];
  readonly warnings: readonly string[];
}

/** A server with a certificate of node a, which the API may ask for anything and nodes for /shared. */
async function serve(fleet: Fleet, options: Partial<IssueOptions> & { readonly identity?: Identity; readonly listenAs?: Partial<ListenOptions> } = {}): Promise<Server> {
  await using scope = new AsyncDisposableStack();
  const { logger, warnings } = heard();
  const credentials = scope.use(await fleet.credentials(options.identity ?? "node/a", { name: "server", ...options }));
  const served: (Identity | null)[] = [];
  const [address] = await listen({
    addresses: ["127.0.0.1:0"], credentials, allow: (path) => path === "/shared" ? ["service/api", "node/*"] : ["service/api"], logger, ...options.listenAs,
  }, { request: (request, response) => {
    served.push(callerOf(request.socket));
    response.end("served");
  } }, scope);
  const owned = scope.move();
  return { address: address!, port: Number(new URL(address!).port), served, warnings, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A server that does not look at what its callers show: it stands for one whose own certificate is at fault. */
async function serveUnchecked(files: { cert: string; key: string }): Promise<AsyncDisposable & { address: string; requests: number }> {
  const server = tls.createServer({ cert: files.cert, key: files.key });
  const counted = { requests: 0 };
  server.on("secureConnection", (socket) => socket.on("data", () => { counted.requests++; }).on("error", () => {}));
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(counted, { address: `https://127.0.0.1:${(server.address() as { port: number }).port}`, async [Symbol.asyncDispose]() { await new Promise((r) => server.close(r)); } });
}

const get = (client: HttpClient, address: string, { identity = "node/a" as Identity, path = "/" } = {}): Promise<HttpAnswer> => client.request({ address, identity }, { method: "GET", path });
const unavailable = (words: RegExp) => (e: unknown): boolean => {
  assert.ok(isGantryError(e, "UNAVAILABLE"), String(e));
  assert.match(e.message, words);
  return true;
};

describe("whom a server takes calls from", { timeout: 60_000 }, () => {
  it("the API, by its certificate", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    using api = await fleet.client("service/api");
    assert.equal(await text((await get(api, server.address)).body), "served");
    assert.deepEqual(server.served, ["service/api"]);
  });

  it("not nodes, nor services that have no business there, whatever their certificate; nodes where they may", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    for (const identity of ["node/a", "node/b", "service/build"] as const) {
      using client = await fleet.client(identity);
      await assert.rejects(get(client, server.address), (e) => isGantryError(e, "FORBIDDEN") && e.message.includes(`is for ${identity.replace("/", " ")}, expected service api`));
    }
    assert.deepEqual(server.served, []);
    using node = await fleet.client("node/b");
    await text((await get(node, server.address, { path: "/shared" })).body);
    assert.deepEqual(server.served, ["node/b"]);
  });

  it("who scrapes metrics, for these alone", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    using scraper = await fleet.client("service/prometheus");
    await text((await get(scraper, server.address, { path: "/metrics" })).body);
    for (const path of ["/", "/metrics/x", "/shared"]) await assert.rejects(get(scraper, server.address, { path }), (e) => isGantryError(e, "FORBIDDEN"));
  });

  for (const [what, reason, options] of [["expired", /CERT_HAS_EXPIRED/, GONE], ["not valid yet", /CERT_NOT_YET_VALID/, TO_COME]] as const) {
    it(`not one whose certificate is ${what}; the log says so`, async () => {
      using fleet = await Fleet.make();
      await using server = await serve(fleet);
      await refused(fleet, server, await fleet.pem("service/api", options), reason);
    });
  }

  it("not one with the right words in a certificate of another CA; the log says so", async () => {
    using fleet = await Fleet.make();
    using foreign = await Fleet.make();
    await using server = await serve(fleet);
    await refused(fleet, server, await foreign.pem("service/api"), /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/);
  });

  it("not one that shows no certificate, over TLS or in the clear", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    await refused(fleet, server, {}, /PEER_DID_NOT_RETURN_A_CERTIFICATE|peer did not return a certificate/);
    await assert.rejects(new Promise((resolve, reject) => { plainRequest({ port: server.port, host: "127.0.0.1", path: "/" }, resolve).on("error", reject).end(); }), { code: /ECONNRESET|EPIPE|HPE_/ });
    assert.deepEqual(server.served, []);
  });

  it("not one that offers less than TLS 1.3", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    const pem = await fleet.pem("service/api");
    const socket = tls.connect({ ...pem, port: server.port, host: "127.0.0.1", maxVersion: "TLSv1.2" });
    const [error] = await once(socket, "error") as [NodeJS.ErrnoException];
    assert.match(String(error.code), /PROTOCOL_VERSION/);
  });

  it("by what each connection shows: none rests on an earlier one's session", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    const pem = await fleet.pem("service/api");
    const ask = async (session?: Buffer): Promise<{ sessions: Buffer[]; reused: boolean }> => {
      const sessions: Buffer[] = [];
      const socket = tls.connect({ ...pem, port: server.port, host: "127.0.0.1", ...(session === undefined ? {} : { session }) });
      let reused = false;
      socket.on("session", (one: Buffer) => sessions.push(one)).on("secureConnect", () => { reused = socket.isSessionReused(); });
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      assert.match(await text(socket), /^HTTP\/1.1 200/);
      return { sessions, reused };
    };
    const { sessions } = await ask();
    for (const session of sessions) assert.equal((await ask(session)).reused, false);
  });

  it("anyone on open paths, and on no other", async () => {
    using fleet = await Fleet.make();
    using foreign = await Fleet.make();
    await using server = await serve(fleet, { listenAs: { open: (path) => path === "/v2" } });
    for (const pem of [{}, await foreign.pem("service/api"), await fleet.pem("service/api", GONE)]) {
      assert.deepEqual(await ask(fleet, server, pem, "/v2"), { status: 200, body: "served" });
      const { status, body } = await ask(fleet, server, pem, "/");
      assert.deepEqual([status, /a certificate of this fleet is needed/.test(body)], [401, true]);
    }
    // A certificate that was not verified is nobody's.
    assert.deepEqual(server.served, [null, null, null]);
    using api = await fleet.client("service/api");
    await text((await get(api, server.address)).body);
  });

  it("nobody any more on a connection whose certificate has expired since", async (t) => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    using api = await fleet.client("service/api", { days: 1 });
    await text((await get(api, server.address)).body);
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 2 * DAY_MS });
    await assert.rejects(get(api, server.address), (e) => isGantryError(e, "UNAUTHORIZED") && /has expired/.test(e.message));
  });
});

describe("whom a client talks to", { timeout: 60_000 }, () => {
  it("not to a node in the place of another, or of a service", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet);
    using api = await fleet.client("service/api");
    await assert.rejects(get(api, server.address, { identity: "node/b" }), unavailable(/its certificate is for node a, expected node b/));
    await assert.rejects(get(api, server.address, { identity: "service/image-store" }), unavailable(/its certificate is for node a, expected service image-store/));
    assert.deepEqual(server.served, []);
  });

  it("not to one at a host that its certificate does not name", async () => {
    using fleet = await Fleet.make();
    await using server = await serve(fleet, { hosts: ["10.9.8.7", "node-a.example"] });
    using api = await fleet.client("service/api");
    await assert.rejects(get(api, server.address), unavailable(/does not match certificate's altnames: IP: 127\.0\.0\.1 is not in the cert's list: 10\.9\.8\.7/));
    await assert.rejects(get(api, server.address.replace("127.0.0.1", "localhost")), unavailable(/localhost\. is not in the cert's altnames/));
    assert.deepEqual(server.served, []);
  });

  it("not to one whose certificate has expired, is not valid yet or is of another CA: nothing is sent", async () => {
    using fleet = await Fleet.make();
    using foreign = await Fleet.make();
    using api = await fleet.client("service/api");
    for (const [pem, words] of [
      [await fleet.pem("node/a", GONE), /certificate has expired/],
      [await fleet.pem("node/a", TO_COME), /certificate is not yet valid/],
      [await foreign.pem("node/a"), /unable to (verify the first certificate|get local issuer certificate)/],
    ] as const) {
      await using server = await serveUnchecked(pem);
      await assert.rejects(get(api, server.address), unavailable(words));
      assert.equal(server.requests, 0);
    }
  });

  it("not to one off this host in the clear, nor over TLS without certificates of its own", async () => {
    using client = new HttpClient();
    await assert.rejects(get(client, "http://10.0.0.1:80"), (e) => isGantryError(e, "INVALID") && /not on loopback/.test(e.message));
    await assert.rejects(get(client, "https://127.0.0.1:80"), (e) => isGantryError(e, "INVALID") && /GANTRY_TLS_CA/.test(e.message));
  });

  it("is told that its own certificate may be why a connection was cut", async () => {
    using fleet = await Fleet.make();
    using foreign = await Fleet.make();
    // Trusts this fleet, but shows a certificate of another.
    await using server = await serve(fleet);
    const credentials = await foreign.credentials("service/api");
    using api = new HttpClient({ credentials });
    const pem = await foreign.pem("service/api");
    const context = tls.createSecureContext({ ...pem, ca: (await fleet.pem("service/api")).ca });
    Object.defineProperty(credentials, "context", { value: () => context });
    await assert.rejects(get(api, server.address), unavailable(/ended, or did not take this service's certificate/));
  });
});

describe("where a server listens", { timeout: 60_000 }, () => {
  it("in the clear on loopback only", async () => {
    for (const address of ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "example.org:80"]) {
      await using scope = new AsyncDisposableStack();
      await assert.rejects(listen({ addresses: [address], credentials: null, allow: () => [], logger: silentLogger }, { request: () => {} }, scope), (e) => isGantryError(e, "INVALID") && /needs certificates/.test(e.message), address);
    }
  });

  it("in the clear under loopback's names only", async () => {
    await using scope = new AsyncDisposableStack();
    const [address] = await listen({ addresses: ["127.0.0.1:0"], credentials: null, allow: () => [], logger: silentLogger }, { request: (_request, response) => response.end("served") }, scope);
    const status = (host: string): Promise<number> => new Promise((resolve, reject) => {
      plainRequest(address!, { headers: { host } }, (response) => { response.resume(); resolve(response.statusCode!); }).on("error", reject).end();
    });
    assert.deepEqual(await Promise.all(["localhost", "127.0.0.1:80", "rebound.example"].map(status)), [200, 200, 403]);
  });
});

describe("where others are told to reach a server", { timeout: 60_000 }, () => {
  it("where it is bound, or as configured; never where nobody could, or would trust it", async () => {
    using fleet = await Fleet.make();
    using credentials = await fleet.credentials("node/a", { hosts: ["10.0.0.3", "node-a.example"] });
    assert.equal(advertised("unix:/run/x.sock", "", null), "unix:/run/x.sock");
    assert.equal(advertised("http://127.0.0.1:80", "", null), "http://127.0.0.1:80");
    assert.equal(advertised("https://10.0.0.3:7003", "", credentials), "https://10.0.0.3:7003");
    assert.equal(advertised("https://0.0.0.0:7003", "https://node-a.example:7003", credentials), "https://node-a.example:7003");
    for (const [bound, configured, words] of [
      ["https://0.0.0.0:7003", "", /is every address of this machine: say at which one/],
      ["https://[::]:7003", "https://[::]:7003", /is every address of this machine/],
      ["https://10.0.0.4:7003", "", /others could not trust https:\/\/10\.0\.0\.4:7003: the certificate in .* is for 10\.0\.0\.3, node-a\.example/],
      ["https://0.0.0.0:7003", "https://node-b.example:7003", /others could not trust/],
      ["https://10.0.0.3:7003", "10.0.0.3:7003", /is no service address/],
    ] as const) assert.throws(() => advertised(bound, configured, credentials), (e) => isGantryError(e, "INVALID") && words.test(e.message), `${bound} ${configured}`);
  });

  it("by whom its certificate says it is: a process takes no one else's", async () => {
    using fleet = await Fleet.make();
    const { ca: GANTRY_TLS_CA, cert: GANTRY_TLS_CERT, key: GANTRY_TLS_KEY } = await fleet.issue("node/a");
    const env = { GANTRY_TLS_CA, GANTRY_TLS_CERT, GANTRY_TLS_KEY };
    using http = await openHttp("node/a", env, { logger: silentLogger });
    assert.equal(http.credentials?.identity, "node/a");
    await assert.rejects(openHttp("node/b", env, { logger: silentLogger }), (e) => isGantryError(e, "INVALID") && /is for node a; this is node b/.test(e.message));
    await assert.rejects(openHttp("node/a", { GANTRY_TLS_CA, GANTRY_TLS_KEY }, { logger: silentLogger }), (e) => isGantryError(e, "INVALID") && /belong together/.test(e.message));
    assert.equal((await openHttp("node/a", {}, { logger: silentLogger })).credentials, null);
  });
});

/** One request over a connection of its own, as curl with these files would make it. */
function ask(fleet: Fleet, { port }: Server, pem: { cert?: string; key?: string }, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    tlsRequest({ host: "127.0.0.1", port, path, ca: fleet.ca, cert: pem.cert, key: pem.key, agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode!, body }), reject);
    }).on("error", reject).end();
  });
}

/** The connection is cut before a request is served, and the server's log has the reason. */
async function refused(fleet: Fleet, server: Server, pem: { cert?: string; key?: string }, reason: RegExp): Promise<void> {
  await assert.rejects(ask(fleet, server, pem, "/"), (e: NodeJS.ErrnoException) => /^(ECONNRESET|EPIPE|ERR_SSL_)/.test(String(e.code)));
  assert.deepEqual(server.served, []);
  assert.equal(server.warnings.length, 1);
  assert.match(server.warnings[0]!, reason);
}

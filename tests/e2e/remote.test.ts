/** The HTTP address: the stock docker command over TCP with a token, and over TLS with client certificates. */
import assert from "node:assert/strict";
import { statSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { authority, tempDir } from "@gantry/testkit";
import { Engine, eventually, type Result, run } from "./support/engine.ts";
import { freePort } from "./support/registry.ts";

type Docker = (args: readonly string[], input?: string) => Promise<Result>;

const scope = new AsyncDisposableStack();
const dir = tempDir(scope);
let engine: Engine;
before(async () => {
  engine = scope.use(await Engine.start());
  await engine.loadBase("busybox");
});
after(() => scope.disposeAsync());

/** The stock docker command with a token in the headers that it sends along. */
function withToken(address: URL, token: string): Docker {
  const config = join(dir, `config-${token.slice(7, 23)}`);
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, "config.json"), JSON.stringify({ HttpHeaders: { Authorization: `Bearer ${token}` } }));
  return (args, input = "") => engine.docker(args, { input, env: { DOCKER_HOST: `tcp://${address.host}`, DOCKER_CONFIG: config } });
}

const context = join(dir, "context");
mkdirSync(context);
writeFileSync(join(context, "Dockerfile"), "FROM busybox\nCOPY big /\nRUN wc -c < /big\n");
writeFileSync(join(context, "big"), Buffer.alloc(3_000_000, 1));

const startTokenOf = (of: Engine): string => of.dashboards[0]!.searchParams.get("token")!;

async function token(...args: string[]): Promise<{ text: string; id: string }> {
  const made = await engine.gantry(["token", "create", ...args]);
  assert.equal(made.code, 0, made.stderr);
  return { text: made.stdout.trim(), id: made.stdout.split("_")[1]! };
}

/** What a user does all day, over any connection: each kind of stream among it. */
async function drive(docker: Docker, name: string): Promise<void> {
  const ok = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await docker(args, input);
    assert.equal(result.code, 0, `docker ${args.join(" ")}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  assert.equal(await ok(["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end of input"], "in\n"), "in\nend of input\n");
  assert.equal(await ok(["run", "-d", "--name", name, "busybox", "sh", "-c", "trap 'echo two; exit 0' USR1; echo one; while :; do sleep 0.05; done"]).then((id) => id.trim().length), 64);
  assert.match(await ok(["ps"]), new RegExp(`\\b${name}$`, "m"));
  assert.equal(await ok(["exec", "-i", name, "wc", "-c"], "12345"), "5\n");
  const logs = ok(["logs", "-f", name]);
  // By then it minds the signal.
  await eventually("the container's first line", async () => (await docker(["logs", name])).stdout === "one\n");
  await ok(["kill", "-s", "USR1", name]);
  assert.equal(await logs, "one\ntwo\n");
  assert.equal(await ok(["wait", name]), "0\n");
  await ok(["rm", name]);
  assert.match(await ok(["build", "--no-cache", "-t", name, context]), /\n3000000\n[^]*Successfully tagged/);
}

/** A terminal of docker's on a terminal. */
function onTerminal(command: readonly string[], env: Record<string, string>): Promise<Result> {
  return run("python3", ["-c", TERMINAL, ...command], { env: { ...engine.env(), ...env }, timeoutMs: 60_000 });
}

/** Runs its arguments on a terminal of their own, on which nobody types, and writes what appears there. */
const TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

test("npm start prints an address that its token opens; the token is kept, and the address is shut to everyone else", async () => {
  const [address] = engine.dashboards;
  assert.match(address!.href, /^http:\/\/127\.0\.0\.1:[0-9]+\/\?token=gantry_/);
  const file = join(engine.dir, "start-token");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  for (const path of ["/_ping", "/version", "/", "/v1/tokens"]) assert.equal((await fetch(new URL(path, address))).status, 401, path);
  assert.equal(await (await fetch(new URL("/healthz", address))).text(), "ok\n");
  const enter = await fetch(address!, { redirect: "manual" });
  assert.equal(enter.status, 303);
  const cookie = enter.headers.get("set-cookie")!.split(";")[0]!;
  const session = await fetch(new URL("/v1/session", address), { headers: { cookie } });
  const { by, name, role } = await session.json() as Record<string, string>;
  assert.deepEqual({ by, name, role }, { by: "session", name: "start", role: "admin" });
});

test("the stock docker command does its work over TCP with a token", async () => {
  const [address] = engine.dashboards;
  await drive(withToken(address!, startTokenOf(engine)), "over-tcp");
  const without = await engine.docker(["ps"], { env: { DOCKER_HOST: `tcp://${address!.host}` } });
  assert.equal(without.code, 1);
  assert.match(without.stderr, /Error response from daemon: log in with a token/);
});

test("tokens are made with a role and an end, listed, and removed, which ends what runs with them", async () => {
  const [address] = engine.dashboards;
  const viewer = await token("--role", "viewer", "--name", "look", "--expires", "1h");
  const docker = withToken(address!, viewer.text);
  assert.equal((await docker(["ps"])).code, 0);
  for (const args of [["run", "--rm", "busybox", "true"], ["pull", "localhost:1/x"], ["build", context]]) {
    assert.match((await docker(args)).stderr, /has the role viewer; this needs the role (admin|builder)/, args.join(" "));
  }
  const builder = await token("--role", "builder");
  const building = withToken(address!, builder.text);
  assert.equal((await building(["build", "-q", context])).code, 0);
  assert.match((await building(["build", "--network", "host", context])).stderr, /this needs the role admin/);
  assert.match((await building(["run", "--rm", "busybox", "true"])).stderr, /this needs the role admin/);
  const list = await engine.gantry(["token", "ls"]);
  assert.match(list.stdout, new RegExp(`^${viewer.id}   look    viewer    .*Z   `, "m"));
  const events = docker(["events"]);
  await eventually("the events to be followed", async () => (await engine.docker(["info", "--format", "{{.NEventsListener}}"])).stdout.trim() !== "0");
  assert.deepEqual(await engine.gantry(["token", "rm", viewer.id]), { code: 0, stdout: `${viewer.id}\n`, stderr: "" });
  assert.notEqual((await events).code, 0);
  assert.match((await docker(["ps"])).stderr, /the token is not valid/);
  assert.match((await engine.gantry(["token", "rm", viewer.id])).stderr, /No such token/);
});

test("the gantry command works over TCP with a token", async () => {
  const [address] = engine.dashboards;
  const env = { DOCKER_HOST: `tcp://${address!.host}`, GANTRY_TOKEN: startTokenOf(engine) };
  assert.deepEqual(await engine.gantry(["run", "--rm", "-i", "busybox", "cat"], { env, input: "in" }), { code: 0, stdout: "in", stderr: "" });
  const without = await engine.gantry(["ps"], { env: { ...env, GANTRY_TOKEN: "" } });
  assert.match(without.stderr, /log in with a token/);
});

test("two instances take ports of their own; over TLS the stock docker command logs in by certificate", async () => {
  const ca = authority(dir, "ca");
  const server = ca.issue("server", { subject: "/CN=gantry", names: "IP:127.0.0.1", usage: "serverAuth" });
  const ann = ca.issue("ann", { subject: "/CN=ann", usage: "clientAuth" });
  const bob = ca.issue("bob", { subject: "/OU=viewer/CN=bob", usage: "clientAuth" });
  const mallory = authority(dir, "foreign").issue("mallory", { subject: "/CN=mallory", usage: "clientAuth" });
  await using second = await Engine.start();
  assert.notEqual(second.dashboards[0]!.port, engine.dashboards[0]!.port);

  const kept = startTokenOf(engine);
  await engine.stop();
  const port = await freePort();
  await engine.up({ args: ["--listen", `127.0.0.1:${port}`], env: { GANTRY_API_TLS_CERT: server.cert, GANTRY_API_TLS_KEY: server.key, GANTRY_API_TLS_CLIENT_CA: ca.cert } });
  assert.equal(engine.dashboards[0]!.href, `https://127.0.0.1:${port}/?token=${kept}`);
  const flags = (client: { cert: string; key: string }) => ["--tlsverify", "--tlscacert", ca.cert, "--tlscert", client.cert, "--tlskey", client.key, "-H", `tcp://127.0.0.1:${port}`];
  const as = (client: { cert: string; key: string }): Docker => (args, input = "") => engine.docker([...flags(client), ...args], { input, env: { DOCKER_HOST: "" } });
  await drive(as(ann), "over-tls");
  const terminal = await onTerminal(["docker", ...flags(ann), "run", "--rm", "-it", "busybox", "sh", "-c", "test -t 0 && test -t 1 && echo terminal"], { DOCKER_HOST: "" });
  assert.deepEqual(terminal, { code: 0, stdout: "terminal\r\n", stderr: "" });
  assert.equal((await as(bob)(["ps"])).code, 0);
  assert.match((await as(bob)(["run", "--rm", "busybox", "true"])).stderr, /the client certificate "bob" has the role viewer; this needs the role admin/);
  // docker does not even show a certificate of none of the CAs that the server names.
  assert.match((await as(mallory)(["ps"])).stderr, /log in with a token/);
  const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: join(dir, "certs") };
  mkdirSync(env.DOCKER_CERT_PATH);
  for (const [from, to] of [[ca.cert, "ca.pem"], [ann.cert, "cert.pem"], [ann.key, "key.pem"]] as const) await run("cp", [from, join(env.DOCKER_CERT_PATH, to)]);
  assert.deepEqual(await engine.gantry(["run", "--rm", "-i", "busybox", "cat"], { env, input: "in" }), { code: 0, stdout: "in", stderr: "" });

  await engine.stop();
  await engine.up({ args: ["--listen", "none"] });
  assert.deepEqual(engine.dashboards, []);
});

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import net from "node:net";
import { text as readText } from "node:stream/consumers";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { containerCreate, containerInspect, containerLocate, containerRemove, containerStart, dockerEvent, fail, nodeExecCreate, nodeExecInspect } from "@gantry/contracts";
import Docker from "dockerode";
import { openRig, type Rig } from "../test-rig.ts";

const ID = "c".repeat(64);

function located(rig: Rig, over: Partial<{ tty: boolean; status: string; exitCode: number }> = {}) {
  return on(containerLocate, async ({ ref }) => {
    if (ref !== "web" && ref !== ID) throw fail("NO_SUCH_CONTAINER", `No such container: ${ref}`);
    return {
      id: ID, name: "web", nodeId: "n1", address: rig.services, tty: false, openStdin: true, status: "running", exitCode: 0, error: "", autoRemove: false,
      startedAt: "t1", finishedAt: "t0", image: "busybox", labels: {}, ...over,
    };
  });
}

/** An agent that sends back, in upper case, what it gets; and ends when its input does. */
function shout(seen: { url: string; body: string }[]) {
  return async (request: IncomingMessage, socket: Duplex): Promise<void> => {
    const body = await readText(request);
    seen.push({ url: request.url!, body });
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    socket.on("data", (chunk) => socket.write(String(chunk).toUpperCase()));
    socket.on("end", () => socket.end("bye"));
  };
}

/** Sends a raw request and returns the socket. */
async function raw(path: string, head: string): Promise<net.Socket> {
  const socket = net.connect({ path, allowHalfOpen: true });
  await once(socket, "connect");
  socket.write(head);
  return socket;
}

test("attach upgrades, passes both directions and the half-close", async () => {
  const seen: { url: string; body: string }[] = [];
  await using rig = await openRig(undefined, shout(seen));
  await rig.serve([located(rig)]);
  const socket = await raw(rig.socket, "POST /v1.51/containers/web/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  socket.end("hello ");
  const answer = await readText(socket);
  const [head, body] = answer.split("\r\n\r\n");
  assert.match(head!, /^HTTP\/1\.1 101 UPGRADED\r\nContent-Type: application\/vnd\.docker\.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n/);
  assert.match(head!, /api-version: 1\.51/i);
  assert.equal(body, "HELLO bye");
  assert.equal(seen[0]!.url, `/v1/containers/${ID}/attach?stream=1&stdin=1`);
});

test("before 1.42, and with a terminal, the stream is called raw", async () => {
  await using rig = await openRig(undefined, shout([]));
  await rig.serve([located(rig)]);
  const socket = await raw(rig.socket, "POST /v1.41/containers/web/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  socket.end();
  assert.match(await readText(socket), /Content-Type: application\/vnd\.docker\.raw-stream\r\n/);
});

test("docker-py, which throws away what comes with the head, gets the head alone", async () => {
  await using rig = await openRig(undefined, (_request, socket) => { socket.end("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"); });
  await rig.serve([located(rig)]);
  const socket = await raw(rig.socket, "POST /containers/web/attach HTTP/1.1\r\nHost: x\r\nUser-Agent: docker-sdk-python/7.1.0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  assert.match(String(await once(socket, "data")), /^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
  assert.equal(await readText(socket), "early");
  socket.destroy();
});

test("attach without an upgrade answers 200 and ends with the connection", async () => {
  await using rig = await openRig(undefined, shout([]));
  await rig.serve([located(rig)]);
  const socket = await raw(rig.socket, "POST /v1.51/containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  const answer = await readText(socket);
  socket.destroy();
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /\r\n\r\nABCbye$/);
  assert.doesNotMatch(answer, /transfer-encoding/i);
});

test("an attach that cannot be says why, upgrade or not", async () => {
  await using rig = await openRig(undefined, (_request, socket) => {
    socket.end('HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 51\r\n\r\n{"message":"container is paused","code":"CONFLICT"}');
  });
  await rig.serve([located(rig)]);
  for (const [path, status, message] of [["/containers/none/attach", 404, "No such container: none"], ["/v1.99/containers/web/attach", 400, "client version 1.99"], ["/containers/web/attach", 409, "container is paused"]] as const) {
    const socket = await raw(rig.socket, `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
    const answer = await readText(socket);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.match(answer, new RegExp(`\\{"message":"${message}`));
    socket.destroy();
  }
});

test("exec start takes a JSON body and an upgrade together, however they arrive", async () => {
  const seen: { url: string; body: string }[] = [];
  await using rig = await openRig(undefined, shout(seen));
  await rig.serve([located(rig), on(nodeExecCreate, async ({ execId }) => ({ execId })), on(nodeExecInspect, async ({ execId }) => ({ exec: { ID: execId, Running: false, ExitCode: 7 } }))]);
  const created = await rig.request("POST", "/containers/web/exec", { body: { Cmd: ["sh"], AttachStdin: true } });
  assert.equal(created.status, 201);
  const body = '{"Detach":false,"Tty":false}';
  const head = `POST /v1.51/exec/${created.json["Id"]}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const together = await raw(rig.socket, `${head}${body}one `);
  together.end("two ");
  assert.match(await readText(together), /101 UPGRADED[^]*\r\n\r\nONE TWO bye$/);
  const apart = await raw(rig.socket, head);
  await new Promise((resolve) => setImmediate(resolve));
  apart.write(body.slice(0, 5));
  await new Promise((resolve) => setImmediate(resolve));
  apart.write(body.slice(5));
  const first = String(await once(apart, "data"));
  assert.match(first, /101 UPGRADED/);
  apart.end("three ");
  assert.match(await readText(apart), /THREE bye$/);
  assert.deepEqual(JSON.parse(seen[0]!.body), { Detach: false, Tty: false });
  assert.equal((await rig.request("GET", `/exec/${created.json["Id"]}/json`)).json["ExitCode"], 7);
});

test("an exec without a command, and one that is not there", async () => {
  await using rig = await openRig();
  await rig.serve([located(rig)]);
  const none = await rig.request("POST", "/containers/web/exec", { body: { Cmd: [] } });
  assert.equal(none.status, 400);
  assert.equal(none.message, "No exec command specified");
  const gone = await rig.request("POST", "/exec/nope/start", { body: {} });
  assert.equal(gone.status, 404);
  assert.equal(gone.message, "No such exec instance: nope");
});

test("a client that goes away ends the agent's stream, and the other way round", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  let agent: Duplex | null = null;
  await using rig = await openRig((request, response) => {
    response.write("line\n");
    request.socket.once("close", () => resolve());
  }, (_request, socket) => {
    agent = socket;
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nx");
  });
  await rig.serve([located(rig)]);
  const logs = await raw(rig.socket, "GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(logs, "data");
  logs.destroy();
  await closed;
  const attached = await raw(rig.socket, "POST /containers/web/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  await once(attached, "data");
  const ended = once(attached, "close");
  attached.on("error", () => {});
  attached.resume();
  attached.on("end", () => attached.end());
  agent!.destroy();
  await ended;
});

const happened = (Action: string, Attributes: Record<string, string> = {}) =>
  ({ Type: "container", Action, Actor: { ID, Attributes: { name: "web", image: "busybox", ...Attributes } }, scope: "local", time: 1_700_000_000, timeNano: 1.7e18 }) as const;

test("wait sends its head at once and its body when it happens", async () => {
  await using rig = await openRig();
  await rig.serve([located(rig)]);
  const socket = await raw(rig.socket, "POST /v1.51/containers/web/wait?condition=removed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const [head] = await once(socket, "data");
  assert.match(String(head), /^HTTP\/1\.1 200 OK\r\n[^]*content-type: application\/json/i);
  await rig.bus.publish(dockerEvent, happened("die", { exitCode: "137" }));
  await rig.bus.publish(dockerEvent, happened("destroy"));
  assert.match(await readText(socket), /\{"StatusCode":137\}\n/);
});

test("an event between asking and looking is not lost", async () => {
  await using rig = await openRig();
  await rig.serve([on(containerLocate, async (body, delivery) => {
    const answer = await located(rig).handle(body, delivery);
    await rig.bus.publish(dockerEvent, happened("die", { exitCode: "5" }));
    return answer as never;
  })]);
  assert.deepEqual((await rig.request("POST", "/containers/web/wait?condition=next-exit")).json, { StatusCode: 5 });
});

test("wait for a container that is not there, or that has exited", async () => {
  await using rig = await openRig();
  await rig.serve([located(rig, { status: "exited", exitCode: 2 })]);
  assert.equal((await rig.request("POST", "/containers/none/wait")).status, 404);
  assert.deepEqual((await rig.request("POST", "/containers/web/wait")).json, { StatusCode: 2 });
  assert.equal((await rig.request("POST", "/containers/web/wait?condition=x")).status, 400);
});

test("events stream live, from the buffer, filtered, and end at until", async () => {
  await using rig = await openRig();
  await rig.bus.publish(dockerEvent, happened("start"));
  await rig.bus.publish(dockerEvent, happened("die", { exitCode: "0" }));
  const past = await rig.request("GET", `/events?since=1&until=1700000001&filters=${encodeURIComponent('{"event":["die"]}')}`);
  assert.equal(past.json["status"], "die");
  assert.equal(past.json["from"], "busybox");
  const live = await raw(rig.socket, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(live, "data");
  await rig.bus.publish(dockerEvent, happened("destroy"));
  assert.match(String(await once(live, "data")), /"Action":"destroy"/);
  live.destroy();
});

test("docker run: create, attach, wait, start, output, exit code", async () => {
  const frame = (text: string) => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  const agent = async (_request: IncomingMessage, socket: Duplex): Promise<void> => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    await started;
    socket.end(frame("hello from inside\n"));
  };
  await using rig = await openRig(undefined, (request, socket) => void agent(request, socket));
  let config: Record<string, unknown> = {};
  await rig.serve([
    located(rig),
    on(containerCreate, async ({ body }) => { config = body; return { id: ID, warnings: [] }; }),
    on(containerStart, async () => {
      start();
      setImmediate(async () => {
        await rig.bus.publish(dockerEvent, happened("die", { exitCode: "42" }));
        await rig.bus.publish(dockerEvent, happened("destroy"));
      });
      return { alreadyStarted: false };
    }),
  ]);
  const run = await rig.docker(["run", "--rm", "busybox", "echo", "hello"]);
  assert.equal(run.stdout, "hello from inside\n");
  assert.equal(run.stderr, "");
  assert.equal(run.code, 42);
  assert.deepEqual(config["Cmd"], ["echo", "hello"]);
});

test("dockerode creates, starts, inspects, attaches and removes", async () => {
  await using rig = await openRig(undefined, shout([]));
  await rig.serve([
    located(rig),
    on(containerCreate, async ({ name, body }) => {
      if (body["Image"] === "none") throw fail("NO_SUCH_IMAGE", "No such image: none:latest");
      if (body["Image"] === "lost") throw fail("NO_SUCH_NETWORK", "network lost not found");
      return { id: ID, warnings: [`named ${name}`] };
    }),
    on(containerStart, async () => ({ alreadyStarted: true })),
    on(containerInspect, async ({ size }) => ({ container: { Id: ID, Name: "/web", SizeRw: size ? 1 : undefined } })),
    on(containerRemove, async ({ force }) => { assert.equal(force, true); return {}; }),
  ]);
  const client = new Docker({ socketPath: rig.socket, version: "v1.47" });
  const container = await client.createContainer({ Image: "busybox", name: "web", Cmd: ["true"] });
  assert.equal(container.id, ID);
  await assert.rejects(container.start(), { statusCode: 304 });
  assert.equal((await container.inspect()).Name, "/web");
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, hijack: true });
  stream.end("x");
  assert.equal(await readText(stream), "Xbye");
  await container.remove({ force: true });
  await assert.rejects(client.createContainer({ Image: "none" }), { statusCode: 404, message: /No such image: none:latest/ });
  await assert.rejects(client.createContainer({ Image: "lost" }), { statusCode: 400, message: /network lost not found/ });
});

test("bodies are JSON and bounded", async () => {
  await using rig = await openRig();
  const form = await rig.request("POST", "/containers/create", { body: { Image: "x" }, headers: { "content-type": "text/plain" } });
  assert.equal(form.status, 400);
  assert.match(form.message, /unsupported Content-Type header \(text\/plain\)/);
  const big = await rig.request("POST", "/containers/create", { body: { Image: "x".repeat(5 * 1024 * 1024) } });
  assert.equal(big.status, 413);
  const empty = await rig.request("POST", "/containers/create");
  assert.equal(empty.message, "config cannot be empty in order to create a container");
  const bad = await rig.request("POST", "/containers/create", { body: { Image: "UPPER" } });
  assert.match(bad.message, /^invalid reference format/);
});

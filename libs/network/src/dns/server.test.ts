import assert from "node:assert/strict";
import { fork, spawnSync, type ChildProcess } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import { Resolver } from "node:dns/promises";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import packet from "dns-packet";
import type { DnsProgram } from "../testing/dns-program.ts";
import { inHostNamespace } from "../testing/netns.ts";

const HERE = "127.0.0.11";

interface WithHandle { _handle?: { fd: number }; handle?: { fd: number } }

/** The descriptor behind a socket; Node has no public name for it. */
function descriptor(socket: dgram.Socket | net.Server): number {
  const inner = Object.getOwnPropertySymbols(socket).map((symbol) => (socket as unknown as Record<symbol, WithHandle | null>)[symbol]);
  const found = [(socket as WithHandle)._handle, ...inner.map((o) => o?.handle)].find((handle) => typeof handle?.fd === "number");
  assert.ok(found, "no descriptor found");
  return found.fd;
}

/** Opens the two sockets as the monitor does, and starts the server on them. */
async function serve(given: DnsProgram): Promise<ChildProcess> {
  const udp = dgram.createSocket("udp4");
  udp.bind(53, HERE);
  const tcp = net.createServer().listen(53, HERE);
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  const program = fileURLToPath(new URL("../testing/dns-program.ts", import.meta.url));
  const child = fork(program, [JSON.stringify(given)], { stdio: ["ignore", "inherit", "inherit", descriptor(udp), descriptor(tcp), "ipc"] });
  udp.close();
  tcp.close();
  await once(child, "message");
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.disconnect();
  await gone;
}

/** A resolver of the world outside: answers every A with 192.0.2.99 over UDP and TCP; says nothing about names with "silent". */
async function upstream(): Promise<{ address: string; close(): void }> {
  const answer = (query: Buffer): Buffer | null => {
    const { id, questions } = packet.decode(query);
    const name = questions![0]!.name;
    if (name.includes("silent")) return null;
    return packet.encode({ type: "response", id: id!, questions: questions!, answers: [{ type: "A", name, ttl: 1, data: "192.0.2.99" }] });
  };
  const udp = dgram.createSocket("udp4");
  udp.on("message", (query, from) => {
    const reply = answer(query);
    if (reply !== null) udp.send(reply, from.port, from.address);
  });
  udp.bind(5353, "127.0.0.1");
  const tcp = net.createServer((socket) => {
    socket.once("data", (query: Buffer) => {
      const reply = answer(query.subarray(2))!;
      socket.end(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]));
    });
  }).listen(5353, "127.0.0.1");
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  return { address: "127.0.0.1:5353", close() { udp.close(); tcp.close(); } };
}

async function askTcp(names: string[]): Promise<(string | undefined)[]> {
  const socket = net.connect(53, HERE);
  let received = Buffer.alloc(0);
  const answers: (string | undefined)[] = [];
  for (const [id, name] of names.entries()) {
    const query = packet.streamEncode({ type: "query", id, flags: packet.RECURSION_DESIRED, questions: [{ type: "A", name }] });
    // In two pieces, so that the framing is the server's work.
    socket.write(query.subarray(0, 1));
    socket.write(query.subarray(1));
  }
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const decoded = packet.decode(received.subarray(2, 2 + received.readUInt16BE(0)));
      received = received.subarray(2 + received.readUInt16BE(0));
      answers[decoded.id!] = (decoded.answers?.[0] as packet.StringAnswer | undefined)?.data;
      if (Object.keys(answers).length === names.length) socket.destroy();
    }
    if (socket.destroyed) break;
  }
  return answers;
}

inHostNamespace(import.meta.url, () => describe("the DNS server of a container", { timeout: 30_000 }, () => {
  const resolver = new Resolver({ timeout: 3000, tries: 1 });
  resolver.setServers([HERE]);
  let world: Awaited<ReturnType<typeof upstream>>;
  before(async () => { world = await upstream(); });
  after(() => world.close());

  it("answers names and addresses of its networks, and asks the host's resolvers for others", async () => {
    // The first of them does not answer: nobody listens there.
    const server = await serve({ resolvers: ["127.0.0.1:5399", world.address], internal: false });
    try {
      assert.deepEqual(await resolver.resolve4("web"), ["172.18.0.2"]);
      assert.deepEqual(await resolver.resolve4("site.front"), ["172.18.0.2"]);
      assert.deepEqual(await resolver.reverse("172.18.0.2"), ["web.front"]);
      await assert.rejects(resolver.resolve6("web"), { code: "ENODATA" });
      assert.deepEqual(await resolver.resolve4("elsewhere.example"), ["192.0.2.99"]);
      assert.deepEqual(await askTcp(["web", "elsewhere.example", "app"]), ["172.18.0.2", "192.0.2.99", "172.18.0.3"]);
      const asked = spawnSync("busybox", ["nslookup", "web", HERE], { encoding: "utf8" });
      assert.match(asked.stdout, /Address:\s+172\.18\.0\.2/);
      // Rubbish hurts nobody.
      const rubbish = dgram.createSocket("udp4");
      for (const bytes of [Buffer.alloc(1), Buffer.alloc(2000, 0xff)]) await new Promise((resolve) => rubbish.send(bytes, 53, HERE, resolve));
      rubbish.close();
      assert.deepEqual(await resolver.resolve4("app"), ["172.18.0.3"]);
    } finally {
      await stop(server);
    }
  });

  it("answers SERVFAIL where there is nobody to ask", async () => {
    const server = await serve({ resolvers: [], internal: false });
    try {
      await assert.rejects(resolver.resolve4("elsewhere.example"), { code: "ESERVFAIL" });
    } finally {
      await stop(server);
    }
  });

  it("asks nobody outside for a container on an internal network", async () => {
    const server = await serve({ resolvers: [world.address], internal: true });
    try {
      assert.deepEqual(await resolver.resolve4("web"), ["172.18.0.2"]);
      await assert.rejects(resolver.resolve4("elsewhere.example"), { code: "ESERVFAIL" });
    } finally {
      await stop(server);
    }
  });
}));

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import type { Handlers } from "./listen.ts";
import { noise, openRig, sha } from "./testing/rig.ts";

const MB = 1024 * 1024;
const ACCEPT = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/** Raw streams only. */
const raw = (handle: (socket: Duplex) => void): Handlers => ({
  request: (_request, response) => { response.writeHead(404).end(); },
  upgrade: (_request, socket, head) => {
    if (head.length > 0) socket.unshift(head);
    socket.write(ACCEPT);
    handle(socket);
  },
});

/** Writes until the other side takes no more, and says how much that was and when it went on. */
function flood(stream: Duplex, block: Buffer, blocks: number): { written: number; readonly done: Promise<void> } {
  const state = { written: 0, done: Promise.resolve() };
  state.done = (async () => {
    for (let i = 0; i < blocks; i++) {
      state.written += block.length;
      if (!stream.write(block)) await once(stream, "drain");
    }
    stream.end();
  })();
  return state;
}

/** Resolves with a number once it has not grown for a while. */
async function settled(read: () => number): Promise<number> {
  let last = -1;
  await waitFor(async () => {
    const now = read();
    const still = now === last && now > 0;
    last = now;
    await new Promise((r) => setTimeout(r, 200));
    return still && read() === now;
  });
  return last;
}

for (const kind of ["unix", "plain", "tls"] as const) {
  describe(`raw streams and big bodies, ${kind}`, { timeout: 120_000 }, () => {
    it("an input that ends leaves the output open", async () => {
      const data = noise(3 * MB);
      await using rig = await openRig(kind, raw((socket) => {
        const input = createHash("sha256");
        socket.on("data", (chunk: Buffer) => input.update(chunk)).once("end", () => {
          socket.write(input.digest("hex"));
          setImmediate(() => socket.end(data));
        });
      }));
      const stream = await rig.client.upgrade(rig.target, { path: "/" });
      stream.end(data);
      const answer = await buffer(stream);
      assert.ok(stream.writableFinished);
      assert.equal(answer.subarray(0, 64).toString(), sha(data));
      assert.equal(sha(answer.subarray(64)), sha(data));
    });

    it("what is sent right with the request for a stream is its first input", async () => {
      await using rig = await openRig(kind, raw((socket) => { socket.write("early"); socket.pipe(socket); }));
      const stream = await rig.client.upgrade(rig.target, { path: "/", body: { a: 1 } });
      stream.end("x");
      assert.equal((await buffer(stream)).toString(), "earlyx");
    });

    it("who sends waits for who receives, both ways, and nothing is lost", async () => {
      const block = noise(MB);
      const BLOCKS = 32;
      let served: Duplex | null = null;
      await using rig = await openRig(kind, raw((socket) => { served = socket; }));
      for (const upward of [true, false]) {
        served = null;
        const stream = await rig.client.upgrade(rig.target, { path: "/" });
        await waitFor(() => served !== null);
        const [from, to] = upward ? [stream, served!] : [served!, stream];
        const flow = flood(from, block, BLOCKS);
        // What fits into buffers of the kernel and of node:stream, far from all of it.
        assert.ok(await settled(() => flow.written) < BLOCKS * MB / 2);
        const hash = createHash("sha256");
        await Promise.all([flow.done, pipeline(to, hash)]);
        const expected = createHash("sha256");
        for (let i = 0; i < BLOCKS; i++) expected.update(block);
        assert.equal(hash.digest("hex"), expected.digest("hex"));
        stream.destroy();
        served!.destroy();
      }
    });

    it("a stream breaks where the other side is gone, either side", async () => {
      let served: Duplex | null = null;
      await using rig = await openRig(kind, raw((socket) => { served = socket; socket.on("error", () => {}).resume(); }));
      const first = await rig.client.upgrade(rig.target, { path: "/" });
      await waitFor(() => served !== null);
      first.destroy();
      await waitFor(() => served!.readableEnded);
      await waitFor(() => { if (!served!.destroyed) served!.write("still there?"); return served!.destroyed; });
      const second = await rig.client.upgrade(rig.target, { path: "/" });
      second.on("error", () => {}).resume();
      await rig.stop();
      await waitFor(() => second.destroyed);
      await assert.rejects(rig.client.upgrade(rig.target, { path: "/" }), (e) => isGantryError(e, "UNAVAILABLE"));
    });

    it("big bodies go up and down whole, and at the pace of who takes them", async () => {
      const block = noise(MB);
      const BLOCKS = 32;
      const expected = createHash("sha256");
      for (let i = 0; i < BLOCKS; i++) expected.update(block);
      const digest = expected.digest("hex");
      const blocks = (): Readable => Readable.from((function* () { for (let i = 0; i < BLOCKS; i++) yield block; })());
      await using rig = await openRig(kind, { request: (request, response) => {
        if (request.method === "GET") return void blocks().pipe(response);
        const hash = createHash("sha256");
        request.pipe(hash).once("finish", () => response.end(hash.digest("hex")));
      } });
      const up = await rig.client.request(rig.target, { method: "POST", path: "/", body: blocks() });
      assert.equal((await buffer(up.body)).toString(), digest);
      const down = await rig.client.request(rig.target, { method: "GET", path: "/" });
      const hash = createHash("sha256");
      await pipeline(down.body, hash);
      assert.equal(hash.digest("hex"), digest);
    });

    it("a server that dies amid its answer: what came of it does not pass for the whole", async () => {
      for (const headers of [{ "content-length": String(8 * MB) }, {}]) {
        await using rig = await openRig(kind, { request: (_request, response) => { response.writeHead(200, headers).write(noise(MB)); } });
        const { body } = await rig.client.request(rig.target, { method: "GET", path: "/" });
        await once(body, "readable");
        await rig.stop();
        await assert.rejects(buffer(body), { code: "ECONNRESET" });
      }
    });

    it("a server that dies amid what it is sent: the client is told, and stops sending", async () => {
      let seen: IncomingMessage | null = null;
      await using rig = await openRig(kind, { request: (request) => { seen = request; request.on("error", () => {}).resume(); } });
      const block = noise(MB);
      const endless = Readable.from((async function* () { for (;;) { yield block; await new Promise((r) => setImmediate(r)); } })());
      const sending = rig.client.request(rig.target, { method: "POST", path: "/", body: endless });
      const failed = assert.rejects(sending, (e) => isGantryError(e, "UNAVAILABLE"));
      await waitFor(() => seen !== null);
      await rig.stop();
      await failed;
      await waitFor(() => endless.destroyed);
    });

    it("a client that dies amid its body: the server does not take it for the whole", async () => {
      let seen: IncomingMessage | null = null;
      await using rig = await openRig(kind, { request: (request) => { seen = request; request.on("error", () => {}).resume(); } });
      const stop = new AbortController();
      const half = Readable.from((async function* () { yield noise(MB); await once(stop.signal, "abort"); })());
      half.on("error", () => {});
      const sending = rig.client.request(rig.target, { method: "POST", path: "/", body: half, signal: stop.signal });
      await waitFor(() => seen !== null);
      stop.abort(new Error("gone"));
      await assert.rejects(sending, /gone/);
      await waitFor(() => seen!.destroyed);
      assert.equal(seen!.complete, false);
    });
  });
}

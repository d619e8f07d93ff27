import assert from "node:assert/strict";
import { type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { discard } from "./client.ts";
import { noise, openRig, sha } from "./testing/rig.ts";

const answer = (response: ServerResponse, body: string): void => { response.end(body); };
for (const kind of ["unix", "plain", "tls"] as const) {
  describe(`internal HTTP, ${kind}`, { timeout: 60_000 }, () => {
    it("answers requests, with bodies of some MB both ways", async () => {
      await using rig = await openRig(kind, { request: (request, response) => { request.pipe(response); } });
      const data = noise(5_000_001);
      const { status, body } = await rig.client.request(rig.target, { method: "POST", path: "/x?y=1", body: Readable.from([data.subarray(0, 1_000_000), data.subarray(1_000_000)]) });
      assert.equal(status, 200);
      assert.equal(sha(await buffer(body)), sha(data));
    });

    it("throws the error that an answer carries, unless it is asked for", async () => {
      await using rig = await openRig(kind, { request: (request, response) => {
        if (request.url === "/coded") response.writeHead(404).end(JSON.stringify({ code: "NO_SUCH_BLOB", message: "blob not found: x" }));
        else if (request.url === "/text") response.writeHead(503).end("busy");
        else response.writeHead(409).end();
      } });
      const get = (path: string) => rig.client.request(rig.target, { method: "GET", path });
      await assert.rejects(get("/coded"), (e) => isGantryError(e, "NO_SUCH_BLOB") && e.message === "blob not found: x");
      await assert.rejects(get("/text"), (e) => isGantryError(e, "UNAVAILABLE") && e.message === "busy");
      await assert.rejects(get("/other"), (e) => isGantryError(e, "CONFLICT") && /answered 409/.test(e.message));
      const accepted = await rig.client.request(rig.target, { method: "HEAD", path: "/coded", accept: [404] });
      assert.equal(accepted.status, 404);
      await discard(accepted);
    });

    it("keeps connections for requests that may be sent twice, and gives others their own", async () => {
      const sockets = new Set<unknown>();
      await using rig = await openRig(kind, { request: (request, response) => { sockets.add(request.socket); answer(response, "x"); } });
      for (let i = 0; i < 5; i++) await discard(await rig.client.request(rig.target, { method: "GET", path: "/" }));
      assert.equal(sockets.size, 1);
      await discard(await rig.client.request(rig.target, { method: "POST", path: "/", idempotent: true }));
      assert.equal(sockets.size, 1);
      for (let i = 0; i < 2; i++) await discard(await rig.client.request(rig.target, { method: "POST", path: "/", body: "x" }));
      assert.equal(sockets.size, 3);
    });

    it("sends a request again whose kept connection was dead, once, and only if that is safe", async () => {
      let cut = true;
      let posts = 0;
      await using rig = await openRig(kind, { request: (request, response) => {
        if (request.method === "POST") posts++;
        if (request.url === "/cut" && cut) request.socket.destroy();
        else answer(response, "whole");
      } });
      await discard(await rig.client.request(rig.target, { method: "GET", path: "/" }));
      // On a new connection the cut is no stale connection's.
      await assert.rejects(rig.client.request(rig.target, { method: "POST", path: "/cut", body: "x" }), (e) => isGantryError(e, "UNAVAILABLE"));
      assert.equal(posts, 1);
      let seen = 0;
      await using flaky = await openRig(kind, { request: (request, response) => {
        if (++seen === 2) request.socket.destroy();
        else answer(response, "whole");
      } });
      await discard(await flaky.client.request(flaky.target, { method: "GET", path: "/" }));
      assert.equal(await text((await flaky.client.request(flaky.target, { method: "GET", path: "/" })).body), "whole");
      assert.equal(seen, 3);
      cut = false;
    });

    it("finds a server again that was restarted", async () => {
      await using rig = await openRig(kind, { request: (_request, response) => answer(response, "x") });
      for (let i = 0; i < 3; i++) {
        await discard(await rig.client.request(rig.target, { method: "GET", path: "/" }));
        await discard(await rig.client.request(rig.target, { method: "POST", path: "/", body: "x" }));
        await rig.restart();
      }
      await discard(await rig.client.request(rig.target, { method: "GET", path: "/" }));
      await rig.stop();
      await assert.rejects(rig.client.request(rig.target, { method: "GET", path: "/" }), (e) => isGantryError(e, "UNAVAILABLE") && /cannot reach the service at/.test(e.message));
    });

    it("tells the server when a request is aborted, before the answer and during it", async () => {
      const closed: string[] = [];
      await using rig = await openRig(kind, { request: (request, response) => {
        response.on("close", () => closed.push(request.url!));
        if (request.url === "/body") response.write("begun");
      } });
      const stop = new AbortController();
      const waiting = rig.client.request(rig.target, { method: "GET", path: "/head", signal: stop.signal });
      stop.abort(fail("TIMEOUT", "enough"));
      await assert.rejects(waiting, (e) => isGantryError(e, "TIMEOUT"));
      const later = new AbortController();
      const { body } = await rig.client.request(rig.target, { method: "GET", path: "/body", signal: later.signal });
      later.abort();
      await assert.rejects(buffer(body));
      await waitFor(() => closed.includes("/body"));
      await assert.rejects(rig.client.request(rig.target, { method: "GET", path: "/", signal: stop.signal }), (e) => isGantryError(e, "TIMEOUT"));
    });

    it("ends a request that nothing moves on", async () => {
      await using rig = await openRig(kind, { request: (request, response) => { if (request.url === "/body") response.write("begun"); } });
      await assert.rejects(rig.client.request(rig.target, { method: "GET", path: "/", idleMs: 50 }), (e) => isGantryError(e, "TIMEOUT"));
      const { body } = await rig.client.request(rig.target, { method: "GET", path: "/body", idleMs: 50 });
      await assert.rejects(text(body), (e) => isGantryError(e, "TIMEOUT"));
    });

    it("leaves errors of what is sent as they are, and the request broken off", async () => {
      let got: IncomingMessage | null = null;
      await using rig = await openRig(kind, { request: (request) => { got = request; request.on("error", () => {}).resume(); } });
      const broken = Readable.from((async function* () { yield noise(100_000); await waitFor(() => got !== null); throw fail("TOO_LARGE", "too much"); })());
      await assert.rejects(rig.client.request(rig.target, { method: "POST", path: "/", body: broken }), (e) => isGantryError(e, "TOO_LARGE"));
      await waitFor(() => got?.destroyed === true);
      assert.equal(got!.complete, false);
    });

    it("gets an early answer while it still sends", async () => {
      await using rig = await openRig(kind, { request: (request, response) => {
        request.resume();
        response.writeHead(413).end(JSON.stringify({ code: "TOO_LARGE", message: "no more" }));
      } });
      let ended = false;
      const endless = Readable.from((async function* () {
        try {
          for (;;) yield noise(64 * 1024);
        } finally {
          ended = true;
        }
      })());
      await assert.rejects(rig.client.request(rig.target, { method: "POST", path: "/", body: endless }), (e) => isGantryError(e, "TOO_LARGE"));
      await waitFor(() => ended);
    });
  });
}

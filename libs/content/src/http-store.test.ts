import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { describe, it } from "node:test";
import { statusOf } from "@gantry/contracts";
import { HttpClient } from "@gantry/http";
import { describeError, isGantryError, GantryError } from "@gantry/kernel";
import { contentContract } from "./contract-suite.ts";
import { DiskContentStore } from "./disk-store.ts";
import { HttpContentStore } from "./http-store.ts";

/** The blob routes of ARCHITECTURE.md over a store, as small as they can be. */
async function serve(store: DiskContentStore, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url!, "http://store");
  const answer = (body: object): void => { response.setHeader("content-type", "application/json").end(JSON.stringify(body)); };
  if (request.method === "POST" && url.pathname === "/v1/blobs/sync") return answer((await store.sync()) ?? {});
  if (request.method === "POST") {
    const expected = url.searchParams.get("digest");
    return answer(await store.ingest(request, { ...(expected === null ? {} : { expected }), volatile: url.searchParams.get("volatile") === "true" }));
  }
  const digest = url.pathname.slice("/v1/blobs/".length);
  const blob = await store.stat(digest);
  if (blob === null) throw new GantryError("NO_SUCH_BLOB", "blob not found");
  if (request.method === "HEAD") return void response.setHeader("content-length", blob.size).end();
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const offset = Number(range?.[1] ?? 0);
  const stream = await store.open(digest, { offset, ...(range?.[2] ? { length: Number(range[2]) - offset + 1 } : {}) });
  response.statusCode = range === null ? 200 : 206;
  await pipeline(stream, response);
}

async function start(listen: (dir: string) => string | number) {
  const dir = mkdtempSync(join(tmpdir(), "gantry-content-http-"));
  const disk = await DiskContentStore.open({ dir: join(dir, "blobs") });
  const server = createServer((request, response) => {
    serve(disk, request, response).catch((e: unknown) => {
      if (response.headersSent) return response.destroy();
      response.statusCode = statusOf(e);
      response.end(JSON.stringify({ message: describeError(e), code: e instanceof GantryError ? e.code : "INTERNAL" }));
    });
  });
  const where = listen(dir);
  server.listen(where);
  await once(server, "listening");
  const address = server.address()!;
  const http = new HttpClient();
  const store = new HttpContentStore({ http, address: typeof address === "string" ? `unix:${address}` : `http://127.0.0.1:${address.port}` });
  return {
    store,
    async [Symbol.asyncDispose]() {
      http[Symbol.dispose]();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

contentContract("HTTP over a unix socket", () => start((dir) => join(dir, "store.sock")));
contentContract("HTTP over TCP", () => start(() => 0));

describe("HTTP content store", () => {
  it("says UNAVAILABLE where nobody listens", async () => {
    using http = new HttpClient();
    const store = new HttpContentStore({ http, address: "unix:/nonexistent/store.sock" });
    await assert.rejects(store.stat(`sha256:${"0".repeat(64)}`), (e) => isGantryError(e, "UNAVAILABLE"));
  });
});

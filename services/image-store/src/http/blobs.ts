import { fail } from "@gantry/contracts";
import { isDigest } from "@gantry/oci";
import type { FastifyRequest } from "fastify";
import type { ImageStore } from "../store/image-store.ts";
import { queryFlag, queryText, type App } from "./app.ts";
import { sendBlob } from "./send-blob.ts";

/** `/v1/blobs`: what build services, nodes and the front door move bytes with. */
export function blobRoutes(app: App, store: ImageStore, options: { maxBlobBytes: number }): void {
  app.route({
    method: ["GET", "HEAD"], url: "/v1/blobs/:digest",
    handler: (request, reply) => sendBlob(store, digestParam(request), request, reply),
  });
  app.post("/v1/blobs", async (request, reply) => {
    const expected = queryText(request, "digest");
    if (expected !== null && !isDigest(expected)) throw fail("INVALID", `invalid digest ${JSON.stringify(expected.slice(0, 100))}`);
    const info = await store.blobs.ingest(request.raw, {
      maxBytes: options.maxBlobBytes, volatile: queryFlag(request, "volatile"), ...(expected === null ? {} : { expected }),
    });
    return reply.code(201).send(info);
  });
  app.post("/v1/blobs/sync", async (request, reply) => {
    request.raw.resume();
    await store.blobs.sync();
    return reply.code(204).send();
  });
}

function digestParam(request: FastifyRequest): string {
  const { digest } = request.params as { digest: string };
  if (!isDigest(digest)) throw fail("INVALID", `invalid digest ${JSON.stringify(digest.slice(0, 100))}`);
  return digest;
}

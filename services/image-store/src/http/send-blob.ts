import type { FastifyReply, FastifyRequest } from "fastify";
import { fail } from "@gantry/contracts";
import { counter, metric } from "@gantry/telemetry/metrics";
import type { ImageStore } from "../store/image-store.ts";
import { parseRange } from "./range.ts";
import { sendFile } from "./send-file.ts";

const blobBytes = counter(metric.blobBytes);

/**
 * Answers HEAD or GET of a blob, with Range. Configs of images are blobs too, though they are kept in the database.
 * Throws NO_SUCH_BLOB where there is none. The reply is taken over (hijacked).
 */
export async function sendBlob(store: ImageStore, digest: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  // Who asks without taking may rely on the answer later; who takes has what it wanted.
  const stored = request.method === "HEAD" ? (await store.blobs.stat(digest))?.size ?? null : await store.blobs.size(digest);
  const text = stored === null && store.catalog.image(digest) !== null ? Buffer.from(await store.configText(digest)) : null;
  if (stored === null && text === null) throw fail("NO_SUCH_BLOB", `blob not found: ${digest}`);
  const size = stored ?? text!.length;
  const range = parseRange(request.headers.range, size);
  const headers: Record<string, string | number> = {
    "accept-ranges": "bytes", "content-type": "application/octet-stream", "docker-content-digest": digest, etag: `"${digest}"`, "cache-control": "max-age=31536000",
  };
  if (range === null) {
    reply.hijack();
    reply.raw.writeHead(416, { ...headers, "content-range": `bytes */${size}`, "content-length": 0 }).end();
    return;
  }
  const { offset, length } = range === "whole" ? { offset: 0, length: size } : range;
  if (range !== "whole") headers["content-range"] = `bytes ${offset}-${offset + length - 1}/${size}`;
  headers["content-length"] = length;
  const sent = request.method !== "HEAD" && length > 0;
  const data = !sent ? null : text ?? await store.blobs.small(digest, size);
  await using file = !sent || data !== null ? null : await store.blobs.openFile(digest);
  if (sent) blobBytes.add(length, { direction: "out" });
  reply.hijack();
  reply.raw.writeHead(range === "whole" ? 200 : 206, headers);
  if (file === null) {
    reply.raw.end(data?.subarray(offset, offset + length));
    return;
  }
  try {
    await sendFile(file, offset, length, reply.raw);
  } catch (e) {
    // The client left, or the disk failed: the connection is cut either way, so a short answer is not taken for a whole one.
    reply.raw.destroy();
    store.logger.debug({ err: e, digest }, "sending a blob ended early");
  }
}


import { fail } from "@gantry/contracts";
import type { DigestCache } from "@gantry/digest-cache";
import { describeError } from "@gantry/kernel";
import { parsePlatform, parseReference, withTag, type Reference } from "@gantry/oci";
import { pipeline } from "node:stream/promises";
import type { FastifyRequest } from "fastify";
import { parseTarget } from "../domain/new-image.ts";
import type { ImageStore } from "../store/image-store.ts";
import { importImage } from "../transfer/import.ts";
import { loadImages } from "../transfer/load.ts";
import { Puller } from "../transfer/pull.ts";
import { Pusher } from "../transfer/push.ts";
import { parseRegistryAuth, type Connect } from "../transfer/registries.ts";
import { saveImages, wantedImages } from "../transfer/save.ts";
import { pullError } from "../transfer/words.ts";
import { queryFlag, queryText, queryTexts, type App } from "./app.ts";
import { streamProgress } from "./progress.ts";

const MAX_NAMES = 1000;

/** `/v1/images/…`: transfers, with Docker's progress JSON. */
export function imageRoutes(app: App, store: ImageStore, options: { connect: Connect; cache: DigestCache; maxBlobBytes: number }): void {
  const puller = new Puller(store);
  const pusher = new Pusher(store, options.cache);

  app.post("/v1/images/pull", async (request, reply) => {
    request.raw.resume();
    const ref = referenceOf(request);
    const platform = parsePlatform(queryText(request, "platform") ?? "");
    const credentials = parseRegistryAuth(header(request, "x-registry-auth"));
    const all = queryFlag(request, "all") && ref.tag === null && ref.digest === null;
    await streamProgress(reply, store.logger, async (progress, signal) => {
      await using client = await options.connect(ref.domain, credentials, signal).catch((e: unknown) => { throw pullError(e, ref); });
      const refs = all ? (await client.tags(ref.path, signal)).map((tag) => withTag(ref, tag)) : [ref];
      for (const one of refs) await puller.pull(client, { ref: one, platform, progress, signal });
    });
  });

  app.post("/v1/images/push", async (request, reply) => {
    request.raw.resume();
    const ref = referenceOf(request);
    const credentials = parseRegistryAuth(header(request, "x-registry-auth"));
    const fence = /^(.{1,128}):(\d{1,15})$/.exec(queryText(request, "fence") ?? "");
    if (fence !== null) store.checkFence({ key: fence[1]!, epoch: Number(fence[2]) });
    await streamProgress(reply, store.logger, (progress, signal) => pusher.push(() => options.connect(ref.domain, credentials, signal), { ref, progress, signal }));
  });

  app.post("/v1/images/load", async (request, reply) => {
    const quiet = queryFlag(request, "quiet");
    await streamProgress(reply, store.logger, (progress, signal) => loadImages(store, { body: request.raw, quiet, maxBytes: options.maxBlobBytes, progress, signal }));
  });

  app.get("/v1/images/save", async (request, reply) => {
    const names = queryTexts(request, "name");
    if (names.length === 0 || names.length > MAX_NAMES) throw fail("INVALID", "give between 1 and 1000 image names");
    const { stream, done } = saveImages(store, wantedImages(store, names));
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": "application/x-tar" });
    try {
      await pipeline(stream, reply.raw);
      await done;
    } catch (e) {
      // A short archive must not look whole.
      reply.raw.destroy();
      store.logger.warn({ err: e }, `saving images ended early: ${describeError(e)}`);
    }
  });

  app.post("/v1/images/import", async (request, reply) => {
    const repo = queryText(request, "repo") ?? "", tag = queryText(request, "tag") ?? "";
    const target = repo === "" ? null : parseTarget(tag === "" ? repo : `${repo}:${tag}`);
    const platform = parsePlatform(queryText(request, "platform") ?? "");
    const changes = queryTexts(request, "change");
    const message = queryText(request, "message") || "Imported from -";
    await streamProgress(reply, store.logger, async (progress) => {
      const id = await importImage(store, { body: request.raw, target, message, changes, platform, maxBytes: options.maxBlobBytes });
      progress.tell({ status: id });
    });
  });
}

function referenceOf(request: FastifyRequest): Reference {
  const text = queryText(request, "ref");
  if (text === null || text === "") throw fail("INVALID", "query parameter ref is missing");
  return parseReference(text);
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

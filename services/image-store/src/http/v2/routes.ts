import type { FastifyReply, FastifyRequest } from "fastify";
import { isDigest } from "@gantry/oci";
import { describeError } from "@gantry/kernel";
import { repositoryOfPath } from "../../domain/names.ts";
import type { ImageStore } from "../../store/image-store.ts";
import { ociAnswer, registryError } from "../../store/registry-error.ts";
import type { Uploads } from "../../store/uploads.ts";
import { queryText, type App } from "../app.ts";
import { sendBlob } from "../send-blob.ts";
import { getManifest, listReferrers, listRepositories, listTags, putManifest, removeManifest, type Page } from "./manifests.ts";
import { appendUpload, beginUpload, cancelUpload, finishUpload, uploadStatus } from "./uploads.ts";

const PAGE = 1000;
/** Names may hold words such as `blobs`: the last ones in the path count. */
const TARGET = /^\/v2\/(?<name>.+)\/(?:(?<uploads>blobs\/uploads)(?:\/(?<upload>[^/]*))?|blobs\/(?<blob>[^/]+)|manifests\/(?<manifest>[^/]+)|(?<tags>tags\/list)|referrers\/(?<referrers>[^/]+))$/;

/**
 * The OCI distribution API over the local images. A repository is what `docker images` calls it (domain/names.ts); blobs are shared
 * by all repositories. Errors are the specification's.
 */
export function registryRoutes(app: App, store: ImageStore, uploads: Uploads): void {
  void app.register(async (scope) => {
    scope.setErrorHandler((error, request, reply) => {
      const { status, body } = ociAnswer(error);
      if (status >= 500) store.logger.error({ err: error, method: request.method, url: request.url }, `registry request failed: ${describeError(error)}`);
      if (reply.raw.headersSent || request.raw.destroyed && !request.raw.complete) {
        reply.hijack();
        reply.raw.destroy();
        return;
      }
      void reply.code(status).send(body);
    });
    scope.addHook("onRequest", async (_request, reply) => { void reply.header("docker-distribution-api-version", "registry/2.0"); });
    scope.route({ method: ["GET", "HEAD"], url: "/v2", handler: async (_request, reply) => reply.send({}) });
    scope.route({ method: ["GET", "HEAD"], url: "/v2/", handler: async (_request, reply) => reply.send({}) });
    scope.get("/v2/_catalog", async (request, reply) => { listRepositories(store, pageOf(request), reply); return reply; });
    scope.route({
      method: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], url: "/v2/*",
      handler: async (request, reply) => {
        await dispatch(store, uploads, request, reply);
        return reply;
      },
    });
  });
}

async function dispatch(store: ImageStore, uploads: Uploads, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const question = request.url.indexOf("?");
  const match = TARGET.exec(question < 0 ? request.url : request.url.slice(0, question))?.groups;
  if (match === undefined) throw registryError("NAME_UNKNOWN", "no such route");
  const name = match["name"]!;
  const repo = repositoryOfPath(name);
  if (repo === null) throw registryError("NAME_INVALID", "invalid repository name", { name: name.slice(0, 300) });
  const method = request.method;
  const reads = method === "GET" || method === "HEAD";
  if (match["manifest"] !== undefined) {
    const reference = decode(match["manifest"]);
    if (reads) return getManifest(store, repo, reference, request, reply);
    if (method === "PUT") return putManifest(store, repo, name, reference, request, reply);
    if (method === "DELETE") return removeManifest(store, repo, reference, reply);
  } else if (match["blob"] !== undefined) {
    const digest = decode(match["blob"]);
    if (!isDigest(digest)) throw registryError("DIGEST_INVALID", "invalid digest");
    if (reads) return sendBlob(store, digest, request, reply);
    if (method === "DELETE") return removeBlob(store, digest, reply);
  } else if (match["uploads"] !== undefined) {
    const target = { repo, name, id: match["upload"] ?? "" };
    if (target.id === "" && method === "POST") return beginUpload(store, uploads, target, request, reply);
    if (method === "PATCH") return appendUpload(uploads, target, request, reply);
    if (method === "PUT") return finishUpload(uploads, target, request, reply);
    if (method === "GET") return uploadStatus(uploads, target, reply);
    if (method === "DELETE") return cancelUpload(uploads, target, reply);
  } else if (method === "GET" && match["tags"] !== undefined) {
    return listTags(store, repo, name, pageOf(request), reply);
  } else if (method === "GET" && match["referrers"] !== undefined) {
    return listReferrers(store, decode(match["referrers"]), queryText(request, "artifactType"), reply);
  }
  throw registryError("UNSUPPORTED", "the operation is unsupported");
}

/** A blob that something needs stays; one that nothing needs goes in the background, as all such do. */
async function removeBlob(store: ImageStore, digest: string, reply: FastifyReply): Promise<void> {
  if (store.catalog.image(digest) !== null || store.catalog.referencedBlobs().has(digest)) throw registryError("UNSUPPORTED", "the blob is referred to by a manifest");
  if (!await store.blobs.discard(digest)) throw registryError("BLOB_UNKNOWN", "blob unknown to registry");
  void reply.code(202).send();
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw registryError("NAME_INVALID", "invalid path");
  }
}

function pageOf(request: FastifyRequest): Page {
  const n = queryText(request, "n");
  if (n !== null && !/^\d{1,9}$/.test(n)) throw registryError("NAME_INVALID", "invalid number of results requested");
  return { n: n === null ? PAGE : Math.min(Number(n), 10_000), last: queryText(request, "last") ?? "" };
}

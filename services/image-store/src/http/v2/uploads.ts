import type { FastifyReply, FastifyRequest } from "fastify";
import { isDigest } from "@gantry/oci";
import { isGantryError } from "@gantry/kernel";
import type { ImageStore } from "../../store/image-store.ts";
import { registryError } from "../../store/registry-error.ts";
import type { UploadSession, Uploads } from "../../store/uploads.ts";
import { queryText } from "../app.ts";

interface Target { readonly repo: string; readonly name: string; readonly id: string }

/** `POST …/blobs/uploads/`: begins an upload; with `mount`, uses a blob that is here; with `digest`, takes it whole. */
export async function beginUpload(store: ImageStore, uploads: Uploads, target: Target, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const mount = queryText(request, "mount");
  if (mount !== null && isDigest(mount) && (await store.blobs.stat(mount) !== null || store.catalog.image(mount) !== null)) {
    request.raw.resume();
    return created(target.name, mount, reply);
  }
  const digest = queryText(request, "digest");
  if (digest !== null && !isDigest(digest)) throw registryError("DIGEST_INVALID", "invalid digest");
  const session = uploads.begin(target.repo);
  if (digest === null) {
    request.raw.resume();
    return accepted(target.name, session, 202, reply);
  }
  await appendOrAbort(uploads, session, request);
  await uploads.finish(session, digest);
  return created(target.name, digest, reply);
}

/** `PATCH`: the next part, in order. */
export async function appendUpload(uploads: Uploads, target: Target, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const session = uploads.get(target.repo, target.id);
  checkPosition(session, request, reply, target.name);
  await append(uploads, session, request);
  return accepted(target.name, session, 202, reply);
}

/** `PUT ?digest=`: the last part, perhaps empty; the blob is stored if it is what the client says. */
export async function finishUpload(uploads: Uploads, target: Target, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const session = uploads.get(target.repo, target.id);
  const digest = queryText(request, "digest");
  if (digest === null || !isDigest(digest)) throw registryError("DIGEST_INVALID", "digest missing or invalid");
  checkPosition(session, request, reply, target.name);
  if (request.headers["content-length"] !== "0") await append(uploads, session, request);
  await uploads.finish(session, digest);
  return created(target.name, digest, reply);
}

/** `GET`: how far it is. */
export function uploadStatus(uploads: Uploads, target: Target, reply: FastifyReply): void {
  accepted(target.name, uploads.get(target.repo, target.id), 204, reply);
}

export async function cancelUpload(uploads: Uploads, target: Target, reply: FastifyReply): Promise<void> {
  await uploads.abort(uploads.get(target.repo, target.id));
  reply.hijack();
  reply.raw.writeHead(204).end();
}

/** `Content-Range: <first>-<last>`, with or without `bytes`, must go on where the upload is. */
function checkPosition(session: UploadSession, request: FastifyRequest, reply: FastifyReply, name: string): void {
  const match = /^(?:bytes[ =])?(\d+)-(\d+)/.exec(request.headers["content-range"] ?? "");
  if (match === null || Number(match[1]) === session.received) return;
  void reply.header("location", `/v2/${name}/blobs/uploads/${session.id}`).header("range", rangeOf(session)).header("docker-upload-uuid", session.id);
  throw registryError("RANGE_INVALID", `the upload has ${session.received} bytes`);
}

/** A part that breaks off leaves the upload for the client to go on with; what is wrong with the upload itself ends it. */
async function append(uploads: Uploads, session: UploadSession, request: FastifyRequest): Promise<void> {
  try {
    await session.append(request.raw);
  } catch (e) {
    if (isGantryError(e) && e.code !== "CONFLICT") await uploads.abort(session);
    throw e;
  }
}

async function appendOrAbort(uploads: Uploads, session: UploadSession, request: FastifyRequest): Promise<void> {
  try {
    await session.append(request.raw);
  } catch (e) {
    await uploads.abort(session);
    throw e;
  }
}

function accepted(name: string, session: UploadSession, status: number, reply: FastifyReply): void {
  reply.hijack();
  reply.raw.writeHead(status, {
    location: `/v2/${name}/blobs/uploads/${session.id}`, range: rangeOf(session), "docker-upload-uuid": session.id, ...(status === 204 ? {} : { "content-length": 0 }),
  }).end();
}

function rangeOf(session: UploadSession): string {
  return `0-${Math.max(0, session.received - 1)}`;
}

function created(name: string, digest: string, reply: FastifyReply): void {
  reply.hijack();
  reply.raw.writeHead(201, { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest, "content-length": 0 }).end();
}

import type { FastifyReply, FastifyRequest } from "fastify";
import { hostPlatform, isDigest, isTag, MAX_MANIFEST_BYTES, selectManifest, parseManifest } from "@gantry/oci";
import type { ManifestRecord } from "../../domain/catalog.ts";
import { acceptsIndex, manifestOf } from "../../domain/manifest-of.ts";
import { pathOfRepository } from "../../domain/names.ts";
import type { ImageStore } from "../../store/image-store.ts";
import { deleteManifest, storeManifest } from "../../store/manifests.ts";
import { registryError } from "../../store/registry-error.ts";

/** `GET`, `HEAD` of a manifest by tag or digest. Images without one get one made. */
export async function getManifest(store: ImageStore, repo: string, reference: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  let record = await manifestOfReference(store, repo, reference);
  if (record === null) {
    throw store.catalog.tags(repo) === null
      ? registryError("NAME_UNKNOWN", "repository name not known to registry", { name: repo })
      : registryError("MANIFEST_UNKNOWN", "manifest unknown", `unknown ${isDigest(reference) ? "revision" : "tag"}=${reference}`);
  }
  let body = await store.manifestBody(record.digest);
  if (body !== null && record.kind === "index" && !isDigest(reference) && !acceptsIndex(request.headers.accept)) {
    const parsed = parseManifest(body, record.mediaType);
    const child = parsed.kind === "index" ? selectManifest(parsed.index.manifests, hostPlatform()) : null;
    record = child === null ? record : store.catalog.manifest(child.digest) ?? record;
    body = await store.manifestBody(record.digest);
  }
  if (body === null) throw registryError("MANIFEST_UNKNOWN", "manifest unknown");
  reply.hijack();
  reply.raw.writeHead(200, {
    "content-type": record.mediaType, "content-length": record.size, "docker-content-digest": record.digest, etag: `"${record.digest}"`,
    "docker-distribution-api-version": "registry/2.0",
  });
  reply.raw.end(request.method === "HEAD" ? undefined : body);
}

async function manifestOfReference(store: ImageStore, repo: string, reference: string): Promise<ManifestRecord | null> {
  const { catalog } = store;
  if (isDigest(reference)) {
    const record = catalog.manifest(reference);
    if (record === null) return null;
    const known = catalog.digest(repo, reference) !== null
      || (record.imageId !== null && catalog.references(record.imageId).some((ref) => ref.repo === repo && ref.tag !== null));
    return known ? record : null;
  }
  const tag = catalog.tag(repo, reference);
  if (tag === null) return null;
  const direct = tag.manifest === null ? null : catalog.manifest(tag.manifest);
  if (direct !== null) return direct;
  return tag.imageId === null ? null : manifestOfImage(store, repo, tag.imageId);
}

/** A manifest of the image whose blobs are all here; made, and kept, where there is none. */
async function manifestOfImage(store: ImageStore, repo: string, imageId: string): Promise<ManifestRecord | null> {
  const image = store.catalog.image(imageId);
  if (image === null) return null;
  const layers = new Set(image.layers.map((layer) => layer.digest));
  const usable = store.catalog.manifestsOfImage(imageId).filter((record) => record.kind === "manifest" && record.refs.every((ref) => ref === imageId || layers.has(ref)));
  usable.sort((a, b) => Number(store.catalog.digest(repo, b.digest) !== null) - Number(store.catalog.digest(repo, a.digest) !== null) || (a.digest < b.digest ? -1 : 1));
  if (usable[0] !== undefined) return usable[0];
  const { record, body } = manifestOf(image, Buffer.byteLength(await store.configText(imageId)));
  await store.update(() => ({ changes: [{ type: "manifest", record, body }], result: null }));
  return record;
}

/** `PUT` of a manifest: an image pushed by tag becomes a local image of that name. */
export async function putManifest(store: ImageStore, repo: string, name: string, reference: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (!isDigest(reference) && !isTag(reference)) throw registryError("MANIFEST_INVALID", "invalid tag or digest");
  const body = await readBody(request);
  const stored = await storeManifest(store, { repo, reference, body, contentType: request.headers["content-type"] ?? "" });
  reply.hijack();
  reply.raw.writeHead(201, {
    location: `/v2/${name}/manifests/${stored.digest}`, "docker-content-digest": stored.digest, "content-length": 0,
    ...(stored.subject === null ? {} : { "oci-subject": stored.subject }),
  }).end();
}

/** `DELETE`: a tag alone, or by digest the manifest with the tags that show it. A local image stays, without these names. */
export async function removeManifest(store: ImageStore, repo: string, reference: string, reply: FastifyReply): Promise<void> {
  const found = await deleteManifest(store, repo, reference);
  if (!found) throw registryError("MANIFEST_UNKNOWN", "manifest unknown");
  reply.code(202).send();
}

async function readBody(request: FastifyRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.raw as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_MANIFEST_BYTES) throw registryError("SIZE_INVALID", `manifest is larger than ${MAX_MANIFEST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `GET …/tags/list?n=&last=` */
export function listTags(store: ImageStore, repo: string, name: string, page: Page, reply: FastifyReply): void {
  const tags = store.catalog.tags(repo);
  if (tags === null) throw registryError("NAME_UNKNOWN", "repository name not known to registry", { name });
  sendPage(reply, `/v2/${name}/tags/list`, page, tags.map((record) => record.tag), (rows) => ({ name, tags: rows }));
}

/** `GET /v2/_catalog?n=&last=`: every repository that a URL can name. */
export function listRepositories(store: ImageStore, page: Page, reply: FastifyReply): void {
  const names = store.catalog.repositories().map(pathOfRepository).filter((name) => name !== null).sort();
  sendPage(reply, "/v2/_catalog", page, names, (rows) => ({ repositories: rows }));
}

export interface Page { readonly n: number; readonly last: string }

function sendPage(reply: FastifyReply, path: string, page: Page, sorted: readonly string[], body: (rows: string[]) => object): void {
  const after = page.last === "" ? [...sorted] : sorted.filter((row) => row > page.last);
  const rows = after.slice(0, page.n);
  if (rows.length < after.length && rows.length > 0) {
    void reply.header("link", `<${path}?last=${encodeURIComponent(rows.at(-1)!)}&n=${page.n}>; rel="next"`);
  }
  void reply.send(body(rows));
}

/** `GET …/referrers/<digest>?artifactType=` */
export function listReferrers(store: ImageStore, digest: string, artifactType: string | null, reply: FastifyReply): void {
  if (!isDigest(digest)) throw registryError("DIGEST_INVALID", "invalid digest");
  const rows = store.catalog.referrers(digest).filter((record) => artifactType === null || record.artifactType === artifactType);
  if (artifactType !== null) void reply.header("oci-filters-applied", "artifactType");
  void reply.type("application/vnd.oci.image.index.v1+json").send(JSON.stringify({
    schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: rows.map((record) => ({
      mediaType: record.mediaType, digest: record.digest, size: record.size,
      ...(record.artifactType === null ? {} : { artifactType: record.artifactType }), ...(record.annotations === null ? {} : { annotations: record.annotations }),
    })),
  }));
}

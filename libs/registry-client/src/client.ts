import { fail } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import { digestOf, isDigest, MANIFEST_ACCEPT, MAX_MANIFEST_BYTES, parseManifest, type ParsedManifest } from "@gantry/oci";
import type { Dispatcher } from "undici";
import type { Credentials } from "./auth.ts";
import { download } from "./download.ts";
import { errorOfAnswer } from "./errors.ts";
import { drop, Transport, type Endpoint } from "./transport.ts";
import { Upload, type UploadOptions, type UploadSource } from "./upload.ts";

export interface ManifestAnswer {
  readonly digest: string;
  readonly mediaType: string;
  /** The exact bytes. */
  readonly bytes: Buffer;
  readonly parsed: ParsedManifest;
}

export interface TransferOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how many bytes have passed by now. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Downloads: whoever takes the bytes verifies them itself (an ingest with `expected`), so they are not hashed twice. */
  readonly verified?: boolean | undefined;
}

const TAGS_PAGE = 1000;
const MAX_TAG_PAGES = 1000;

/**
 * One registry (OCI distribution-spec), with one set of credentials. Repositories are named by their path (`library/redis`).
 * Everything received is checked against its digest. Errors: UNAVAILABLE (not reached), UNAUTHORIZED, REGISTRY (with
 * {@link RegistryFault} in `details`), DIGEST_MISMATCH.
 */
export class RegistryClient implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly #transport: Transport;
  readonly #clock: Clock;

  constructor(options: { endpoint: Endpoint; credentials: Credentials | null; clock: Clock }) {
    this.endpoint = options.endpoint;
    this.#clock = options.clock;
    this.#transport = new Transport(options);
  }

  /** Resolves where the registry speaks the API and takes the credentials. */
  async ping(signal?: AbortSignal): Promise<void> {
    const answer = await this.#transport.send("/v2/", "", { method: "GET", signal });
    if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `Get "${this.endpoint.url.origin}/v2/"`);
    await drop(answer);
  }

  /** By tag or digest; by digest, it is what it says. */
  async manifest(repo: string, reference: string, signal?: AbortSignal): Promise<ManifestAnswer> {
    const answer = await this.#transport.send(this.#path(repo, "manifests", reference), pullScope(repo), {
      method: "GET", headers: { accept: MANIFEST_ACCEPT.join(", ") }, signal,
    });
    if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `manifest ${reference} of ${repo}`);
    const bytes = await readAll(answer.body, MAX_MANIFEST_BYTES);
    const digest = digestOf(bytes);
    if (isDigest(reference) && digest !== reference) throw fail("DIGEST_MISMATCH", `manifest verification failed for digest ${reference}`);
    const stated = answer.headers["docker-content-digest"];
    if (typeof stated === "string" && isDigest(stated) && stated !== digest) throw fail("DIGEST_MISMATCH", `manifest verification failed for digest ${stated}`);
    const parsed = parseManifest(bytes, String(answer.headers["content-type"] ?? ""));
    return { digest, mediaType: parsed.mediaType, bytes, parsed };
  }

  /** Digest of a tag, without the manifest; null where there is none, or where the registry does not say. */
  async manifestDigest(repo: string, reference: string, signal?: AbortSignal): Promise<string | null> {
    const answer = await this.#transport.send(this.#path(repo, "manifests", reference), pullScope(repo), {
      method: "HEAD", headers: { accept: MANIFEST_ACCEPT.join(", ") }, signal,
    });
    await drop(answer);
    if (answer.statusCode === 404) return null;
    if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `manifest ${reference} of ${repo}`);
    const digest = answer.headers["docker-content-digest"];
    return typeof digest === "string" && isDigest(digest) ? digest : null;
  }

  /** Answers the digest. `reference` is a tag or that digest. */
  async putManifest(repo: string, reference: string, manifest: { readonly mediaType: string; readonly bytes: Uint8Array }, signal?: AbortSignal): Promise<string> {
    const answer = await this.#transport.send(this.#path(repo, "manifests", reference), pushScope(repo), {
      method: "PUT", headers: { "content-type": manifest.mediaType }, body: () => Buffer.from(manifest.bytes), repeatable: true, signal,
    });
    if (answer.statusCode >= 300) throw await errorOfAnswer(answer, `manifest ${reference} of ${repo}`);
    await drop(answer);
    return digestOf(manifest.bytes);
  }

  async deleteManifest(repo: string, digest: string): Promise<void> {
    const answer = await this.#transport.send(this.#path(repo, "manifests", digest), `repository:${repo}:delete,pull`, { method: "DELETE", repeatable: true });
    if (answer.statusCode >= 300) throw await errorOfAnswer(answer, `manifest ${digest} of ${repo}`);
    await drop(answer);
  }

  /** Bytes of a blob; null where there is none. */
  async blobSize(repo: string, digest: string, signal?: AbortSignal): Promise<number | null> {
    const answer = await this.#transport.send(this.#path(repo, "blobs", digest), pushScope(repo), { method: "HEAD", signal });
    await drop(answer);
    if (answer.statusCode === 404) return null;
    if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `blob ${digest} of ${repo}`);
    const size = Number(answer.headers["content-length"]);
    return Number.isSafeInteger(size) ? size : 0;
  }

  /** The bytes, verified (see {@link download}). */
  blob(repo: string, blob: { readonly digest: string; readonly size: number }, options: TransferOptions = {}): AsyncGenerator<Uint8Array> {
    return download(blob, async (offset) => {
      const answer = await this.#transport.send(this.#path(repo, "blobs", blob.digest), pullScope(repo), {
        method: "GET", signal: options.signal, ...(offset === 0 ? {} : { headers: { range: `bytes=${offset}-` } }),
      });
      if (answer.statusCode !== 200 && answer.statusCode !== 206) throw await errorOfAnswer(answer, `blob ${blob.digest} of ${repo}`);
      return { status: answer.statusCode, headers: answer.headers, body: answer.body };
    }, { clock: this.#clock, ...options });
  }

  /** A small blob, such as a config, whole. TOO_LARGE beyond `maxBytes`. */
  async blobBytes(repo: string, blob: { readonly digest: string; readonly size: number }, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
    if (blob.size > maxBytes) throw fail("TOO_LARGE", `blob ${blob.digest} has ${blob.size} bytes, more than ${maxBytes}`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.blob(repo, blob, { signal })) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Sends a blob whose digest is known, unless the registry can mount it from another repository. Answers how it got there. */
  pushBlob(repo: string, blob: { readonly digest: string; readonly size: number }, source: UploadSource, options: UploadOptions = {}): Promise<"mounted" | "pushed"> {
    return this.#upload(repo).known(blob, source, options);
  }

  /** Sends a blob whose digest comes out only at the end (compressed on the way). */
  pushStream(repo: string, source: () => AsyncIterable<Uint8Array>, options: TransferOptions = {}): Promise<{ digest: string; size: number }> {
    return this.#upload(repo).stream(source, options);
  }

  /** All tags of a repository, page by page. */
  async tags(repo: string, signal?: AbortSignal): Promise<string[]> {
    const tags: string[] = [];
    let target: string | URL = `${this.#path(repo, "tags", "list")}?n=${TAGS_PAGE}`;
    for (let page = 0; page < MAX_TAG_PAGES; page++) {
      const answer: Dispatcher.ResponseData = await this.#transport.send(target, pullScope(repo), { method: "GET", signal });
      if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `tags of ${repo}`);
      const list = JSON.parse((await readAll(answer.body, MAX_MANIFEST_BYTES)).toString("utf8")) as { tags?: unknown };
      if (Array.isArray(list.tags)) tags.push(...list.tags.filter((tag) => typeof tag === "string"));
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(answer.headers["link"] ?? ""));
      if (next === null) return tags;
      target = new URL(next[1]!, this.endpoint.url);
      if (target.origin !== this.endpoint.url.origin) throw fail("REGISTRY", "the registry's list of tags goes on at another host");
    }
    throw fail("TOO_LARGE", `repository ${repo} has too many tags`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  #upload(repo: string): Upload {
    return new Upload(this.#transport, repo, this.#clock);
  }

  #path(repo: string, kind: string, reference: string): string {
    return `/v2/${repo}/${kind}/${reference}`;
  }
}

export const pullScope = (repo: string): string => `repository:${repo}:pull`;
export const pushScope = (repo: string): string => `repository:${repo}:pull,push`;

async function readAll(body: AsyncIterable<unknown>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw fail("TOO_LARGE", `the registry's answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

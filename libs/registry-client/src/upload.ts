import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { isGantryError, retry, type Clock, type GantryError } from "@gantry/kernel";
import type { Dispatcher } from "undici";
import { errorOfAnswer, registryFault } from "./errors.ts";
import { drop, type Transport } from "./transport.ts";

/** Opens the bytes from an offset; called again when an upload is taken up anew. */
export type UploadSource = (offset: number) => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;

export interface UploadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Repositories of the same registry that may have the blob. */
  readonly mountFrom?: readonly string[] | undefined;
  /** Send in pieces of this many bytes instead of one request; some registries' proxies ask for it. */
  readonly chunkBytes?: number | undefined;
}

const ATTEMPTS = 3;

/** Uploads into one repository (distribution-spec, "Pushing blobs"). */
export class Upload {
  readonly #transport: Transport;
  readonly #repo: string;
  readonly #scope: string;
  readonly #clock: Clock;

  constructor(transport: Transport, repo: string, clock: Clock) {
    this.#transport = transport;
    this.#repo = repo;
    this.#scope = `repository:${repo}:pull,push`;
    this.#clock = clock;
  }

  async known(blob: { readonly digest: string; readonly size: number }, source: UploadSource, options: UploadOptions): Promise<"mounted" | "pushed"> {
    for (const from of options.mountFrom ?? []) {
      const session = await this.#mount(blob.digest, from, options.signal);
      if (session === null) return "mounted";
      await this.#cancel(session);
    }
    await this.#retrying(options.signal, async () => {
      const session = await this.#start(options.signal);
      if (options.chunkBytes !== undefined) await this.#chunks(session, blob, source, options, options.chunkBytes);
      else await this.#whole(session, blob, source, options);
    });
    return "pushed";
  }

  async stream(source: () => AsyncIterable<Uint8Array>, options: UploadOptions): Promise<{ digest: string; size: number }> {
    return this.#retrying(options.signal, async () => {
      const session = await this.#start(options.signal);
      const hash = createHash("sha256");
      let size = 0;
      const hashing = async function* (): AsyncGenerator<Uint8Array> {
        for await (const chunk of source()) {
          hash.update(chunk);
          size += chunk.length;
          yield chunk;
        }
      };
      const answer = await this.#transport.send(session, this.#scope, {
        method: "PATCH", repeatable: false, signal: options.signal, headers: { "content-type": "application/octet-stream" },
        body: () => bodyOf(counted(hashing(), 0, options.onProgress)),
      });
      if (answer.statusCode >= 300) throw await this.#refused(answer);
      const next = this.#location(answer);
      await drop(answer);
      const digest = `sha256:${hash.digest("hex")}`;
      await this.#commit(next, digest, options.signal);
      return { digest, size };
    });
  }

  /** What interrupted the connection may pass; what the registry refused will not. */
  #retrying<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    return retry(work, {
      clock: this.#clock, attempts: ATTEMPTS, baseMs: 200, maxMs: 2_000,
      retryable: (e) => signal?.aborted !== true && (isGantryError(e, "UNAVAILABLE") || (registryFault(e)?.status ?? 0) >= 500),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Sends an empty request, which also settles authentication before any body. */
  async #start(signal: AbortSignal | undefined): Promise<URL> {
    const answer = await this.#transport.send(`/v2/${this.#repo}/blobs/uploads/`, this.#scope, { method: "POST", headers: { "content-length": "0" }, repeatable: true, signal });
    if (answer.statusCode !== 202) throw await errorOfAnswer(answer, `upload to ${this.#repo}`);
    await drop(answer);
    return this.#location(answer);
  }

  /** null: mounted. Else the upload that the registry began instead. */
  async #mount(digest: string, from: string, signal: AbortSignal | undefined): Promise<URL | null> {
    const query = new URLSearchParams({ mount: digest, from });
    const scope = `${this.#scope} repository:${from}:pull`;
    const answer = await this.#transport.send(`/v2/${this.#repo}/blobs/uploads/?${query}`, scope, { method: "POST", headers: { "content-length": "0" }, repeatable: true, signal });
    if (answer.statusCode === 201) {
      await drop(answer);
      return null;
    }
    if (answer.statusCode !== 202) throw await errorOfAnswer(answer, `upload to ${this.#repo}`);
    await drop(answer);
    return this.#location(answer);
  }

  async #cancel(session: URL): Promise<void> {
    const answer = await this.#transport.send(session, this.#scope, { method: "DELETE", repeatable: false });
    // Not every registry has it; an abandoned upload expires there.
    await drop(answer);
  }

  async #whole(session: URL, blob: { readonly digest: string; readonly size: number }, source: UploadSource, options: UploadOptions): Promise<void> {
    const stream = await source(0);
    const answer = await this.#transport.send(withDigest(session, blob.digest), this.#scope, {
      method: "PUT", repeatable: false, signal: options.signal,
      headers: { "content-type": "application/octet-stream", "content-length": String(blob.size) },
      body: () => (blob.size === 0 ? Buffer.alloc(0) : bodyOf(counted(stream, 0, options.onProgress))),
    });
    if (answer.statusCode !== 201 && answer.statusCode !== 204) throw await this.#refused(answer);
    await drop(answer);
  }

  async #chunks(first: URL, blob: { readonly digest: string; readonly size: number }, source: UploadSource, options: UploadOptions, chunkBytes: number): Promise<void> {
    let session = first;
    for (let offset = 0; offset < blob.size;) {
      const length = Math.min(chunkBytes, blob.size - offset);
      const stream = limited(await source(offset), length);
      const at = offset;
      const answer = await this.#transport.send(session, this.#scope, {
        method: "PATCH", repeatable: false, signal: options.signal,
        headers: { "content-type": "application/octet-stream", "content-length": String(length), "content-range": `${offset}-${offset + length - 1}` },
        body: () => bodyOf(counted(stream, at, options.onProgress)),
      });
      if (answer.statusCode !== 202) throw await this.#refused(answer);
      session = this.#location(answer);
      await drop(answer);
      offset += length;
    }
    await this.#commit(session, blob.digest, options.signal);
  }

  async #commit(session: URL, digest: string, signal: AbortSignal | undefined): Promise<void> {
    const answer = await this.#transport.send(withDigest(session, digest), this.#scope, { method: "PUT", headers: { "content-length": "0" }, repeatable: false, signal });
    if (answer.statusCode !== 201 && answer.statusCode !== 204) throw await this.#refused(answer);
    await drop(answer);
  }

  /** The upload was begun with a good token, so a 401 now means that it ran out on the way: beginning again gets a new one. */
  async #refused(answer: Dispatcher.ResponseData): Promise<GantryError> {
    const error = await errorOfAnswer(answer, `upload to ${this.#repo}`);
    return answer.statusCode === 401 ? fail("UNAVAILABLE", "the registry's token expired during an upload", { cause: error }) : error;
  }

  #location(answer: Dispatcher.ResponseData): URL {
    const location = answer.headers["location"];
    if (typeof location !== "string" || !URL.canParse(location, this.#transport.endpoint.url)) throw fail("REGISTRY", "the registry began an upload and did not say where");
    return new URL(location, this.#transport.endpoint.url);
  }
}

function withDigest(session: URL, digest: string): URL {
  const url = new URL(session);
  url.searchParams.set("digest", digest);
  return url;
}

function bodyOf(stream: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(stream, { objectMode: false, highWaterMark: 1 << 20 });
}

async function* counted(stream: AsyncIterable<Uint8Array>, from: number, onProgress: ((bytes: number) => void) | undefined): AsyncGenerator<Uint8Array> {
  let sent = from;
  for await (const chunk of stream) {
    yield chunk;
    sent += chunk.length;
    onProgress?.(sent);
  }
}

async function* limited(stream: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const chunk of stream) {
    yield chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= chunk.length;
    if (left <= 0) return;
  }
}

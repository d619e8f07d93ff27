import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { fail } from "@gantry/contracts";
import { discard, type HttpAnswer, type HttpClient, type HttpRequest, type Target } from "@gantry/http";
import { digestHex } from "./digest.ts";
import type { BlobInfo, ContentStore } from "./port.ts";

export interface HttpContentStoreOptions {
  readonly http: HttpClient;
  /** Of the image store: `unix:/path` or `http(s)://host:port`. */
  readonly address: string;
}

/** How long nothing may move: a sync of a big blob to a slow disk takes its time. */
const IDLE_MS = 600_000;

/** The image store's blob routes (`/v1/blobs`, ARCHITECTURE.md). UNAVAILABLE where it cannot be reached. */
export class HttpContentStore implements ContentStore {
  readonly #http: HttpClient;
  readonly #store: Target;

  constructor({ http, address }: HttpContentStoreOptions) {
    this.#http = http;
    this.#store = { address, identity: "service/image-store" };
  }

  async stat(digest: string): Promise<BlobInfo | null> {
    digestHex(digest);
    const answer = await this.#request({ method: "HEAD", path: `/v1/blobs/${digest}`, accept: [404] });
    await discard(answer);
    if (answer.status === 404) return null;
    const size = Number(answer.headers["content-length"]);
    if (!Number.isSafeInteger(size)) throw fail("UNAVAILABLE", `image store: HEAD of blob ${digest} answered without a length`);
    return { digest, size };
  }

  async open(digest: string, range?: { offset: number; length?: number }): Promise<Readable> {
    digestHex(digest);
    if (range?.length === 0) {
      if ((await this.stat(digest)) === null) throw fail("NO_SUCH_BLOB", `blob not found: ${digest}`);
      return Readable.from([], { objectMode: false });
    }
    const whole = range === undefined || (range.offset === 0 && range.length === undefined);
    const headers: Record<string, string> = whole ? {} : { range: rangeHeader(range) };
    const answer = await this.#request({ method: "GET", path: `/v1/blobs/${digest}`, headers });
    if (answer.status === (whole ? 200 : 206)) return answer.body;
    answer.body.destroy();
    throw fail("UNAVAILABLE", `image store: reading blob ${digest} answered ${answer.status}`);
  }

  async ingest(
    stream: AsyncIterable<Uint8Array>,
    options: { expected?: string; maxBytes?: number; volatile?: boolean } = {},
  ): Promise<BlobInfo> {
    const query = new URLSearchParams();
    if (options.expected !== undefined) query.set("digest", `sha256:${digestHex(options.expected)}`);
    if (options.volatile === true) query.set("volatile", "true");
    const answer = await this.#request({
      method: "POST",
      path: `/v1/blobs?${query}`,
      headers: { "content-type": "application/octet-stream" },
      body: Readable.from(bounded(stream, options.maxBytes ?? Number.MAX_SAFE_INTEGER), { objectMode: false, highWaterMark: 1 << 20 }),
    });
    const blob = (await json(answer.body)) as Partial<BlobInfo> | null;
    if (typeof blob?.digest !== "string" || typeof blob.size !== "number") {
      throw fail("UNAVAILABLE", "image store: storing a blob was answered without its digest and size");
    }
    return { digest: blob.digest, size: blob.size };
  }

  async sync(): Promise<void> {
    await discard(await this.#request({ method: "POST", path: "/v1/blobs/sync", idempotent: true }));
  }

  #request(request: HttpRequest): Promise<HttpAnswer> {
    return this.#http.request(this.#store, { idleMs: IDLE_MS, ...request });
  }
}

async function* bounded(stream: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > maxBytes) throw fail("TOO_LARGE", `content is larger than the ${maxBytes} bytes allowed`);
    yield chunk;
  }
}

function rangeHeader(range: { offset: number; length?: number }): string {
  return `bytes=${range.offset}-${range.length === undefined ? "" : range.offset + range.length - 1}`;
}

import { Readable } from "node:stream";
import { Pool, type Dispatcher } from "undici";
import { fail } from "@gantry/contracts";
import { GantryError } from "@gantry/kernel";
import { startClientSpan } from "@gantry/telemetry/http";
import { digestHex } from "./digest.ts";
import type { BlobInfo, ContentStore } from "./port.ts";

export interface HttpContentStoreOptions {
  /** Of the image store: `unix:/path` or `http(s)://host:port`. */
  readonly address: string;
  /** Sent with every request, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How long the image store may take to answer once it has the whole request: a sync of a big blob to a slow disk. */
const ANSWER_MS = 600_000;
/** Of an error's body. */
const ERROR_BYTES = 64 * 1024;

/** The image store's blob routes (`/v1/blobs`, ARCHITECTURE.md). UNAVAILABLE where it cannot be reached. */
export class HttpContentStore implements ContentStore, AsyncDisposable {
  readonly #pool: Pool;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #address: string;

  constructor(options: HttpContentStoreOptions) {
    const unix = options.address.startsWith("unix:") ? options.address.slice("unix:".length) : null;
    this.#pool = new Pool(unix === null ? options.address : "http://localhost", {
      ...(unix === null ? {} : { connect: { socketPath: unix } }),
      connections: 32,
      headersTimeout: ANSWER_MS,
      bodyTimeout: ANSWER_MS,
    });
    this.#headers = options.headers ?? {};
    this.#address = options.address;
  }

  async stat(digest: string): Promise<BlobInfo | null> {
    digestHex(digest);
    const answer = await this.#request({ method: "HEAD", path: `/v1/blobs/${digest}` });
    await answer.body.dump();
    if (answer.statusCode === 404) return null;
    if (answer.statusCode !== 200) throw fail("UNAVAILABLE", `image store: HEAD of blob ${digest} answered ${answer.statusCode}`);
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
    if (answer.statusCode !== (whole ? 200 : 206)) throw await errorOf(answer);
    return answer.body;
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
    if (answer.statusCode !== 200 && answer.statusCode !== 201) throw await errorOf(answer);
    const blob = (await answer.body.json()) as Partial<BlobInfo> | null;
    if (typeof blob?.digest !== "string" || typeof blob.size !== "number") {
      throw fail("UNAVAILABLE", "image store: storing a blob was answered without its digest and size");
    }
    return { digest: blob.digest, size: blob.size };
  }

  async sync(): Promise<void> {
    const answer = await this.#request({ method: "POST", path: "/v1/blobs/sync" });
    if (answer.statusCode >= 300) throw await errorOf(answer);
    await answer.body.dump();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  async #request(options: Omit<Dispatcher.RequestOptions, "headers"> & { headers?: Record<string, string> }): Promise<Dispatcher.ResponseData> {
    const span = startClientSpan({ method: options.method, path: options.path, address: this.#address });
    try {
      const answer = await this.#pool.request({ ...options, headers: { ...this.#headers, ...options.headers, ...span.headers } });
      span.answered(answer.statusCode);
      return answer;
    } catch (e) {
      span.failed(e);
      // Errors of the stream that is being sent stay what they are.
      if (e instanceof GantryError) throw e;
      throw fail("UNAVAILABLE", `image store: ${(e as Error).message}`, { cause: e });
    }
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

/** The error that the image store sent as `{message, code}`, or what its status says. */
async function errorOf(answer: Dispatcher.ResponseData): Promise<GantryError> {
  let text = "";
  for await (const chunk of answer.body) {
    text += String(chunk);
    if (text.length > ERROR_BYTES) break;
  }
  try {
    const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof code === "string" && typeof message === "string") return new GantryError(code, message);
  } catch {
    // Not JSON: what the status says will do.
  }
  if (answer.statusCode === 404) return fail("NO_SUCH_BLOB", "blob not found");
  if (answer.statusCode === 416) return fail("INVALID", "range not satisfiable");
  return fail("UNAVAILABLE", `image store: status ${answer.statusCode}: ${text.slice(0, 500)}`);
}

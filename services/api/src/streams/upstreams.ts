import http from "node:http";
import https from "node:https";
import type { Duplex, Readable } from "node:stream";
import { ERROR_STATUS, type ErrorCode, fail } from "@gantry/contracts";
import { startClientSpan } from "@gantry/telemetry/http";
import { type Dispatcher, Pool } from "undici";

export interface UpstreamRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  /** With its query. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: Readable | string;
  readonly signal?: AbortSignal;
}

export interface UpgradeRequest {
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly signal?: AbortSignal;
}

const MAX_ERROR_BYTES = 64 * 1024;

/**
 * The internal HTTP routes of the other services, by address (`unix:/path`, `http(s)://host:port`): pools of connections
 * that are kept. An answer of 400 and above is thrown, with the code and message it carries.
 */
export class Upstreams implements AsyncDisposable {
  readonly #pools = new Map<string, Pool>();

  async request(address: string, request: UpstreamRequest): Promise<Dispatcher.ResponseData> {
    const { method, path, headers = {}, body, signal } = request;
    const span = startClientSpan({ method, path, address });
    let response: Dispatcher.ResponseData;
    try {
      response = await this.#pool(address).request({
        method, path, headers: { ...headers, ...span.headers }, body: body ?? null, ...(signal === undefined ? {} : { signal }), headersTimeout: 0, bodyTimeout: 0,
      });
    } catch (cause) {
      span.failed(cause);
      signal?.throwIfAborted();
      throw unreachable(address, cause);
    }
    span.answered(response.statusCode);
    if (response.statusCode < 400) return response;
    throw await refusal(response.statusCode, response.body, method === "HEAD");
  }

  /** Opens a raw stream (`POST`, `Upgrade: tcp`). */
  upgrade(address: string, { path, body, signal }: UpgradeRequest): Promise<Duplex> {
    const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const span = startClientSpan({ method: "POST", path, address });
    return new Promise((resolve, reject) => {
      const { secure, ...at } = target(address);
      const request = (secure ? https : http).request({
        ...at, method: "POST", path, agent: false, ...(signal === undefined ? {} : { signal }),
        headers: {
          Connection: "Upgrade", Upgrade: "tcp", ...span.headers,
          ...(payload === null ? {} : { "Content-Type": "application/json", "Content-Length": payload.length }),
        },
      });
      request.on("upgrade", (_response, socket, head) => {
        span.answered(101);
        socket.setNoDelay(true);
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      request.on("response", (response) => {
        const status = response.statusCode ?? 500;
        span.answered(status);
        if (status >= 400) return refusal(status, response, false).then(reject, reject);
        response.destroy();
        reject(fail("INTERNAL", `${address} answered ${status} to a request for a raw stream`));
      });
      request.on("error", (cause) => {
        span.failed(cause);
        reject(signal?.aborted === true ? signal.reason : unreachable(address, cause));
      });
      request.end(payload ?? undefined);
    });
  }

  /** A JSON request whose answer has no body of interest. */
  async detached(address: string, { path, body = {}, signal }: UpgradeRequest): Promise<void> {
    const response = await this.request(address, {
      method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(body), ...(signal === undefined ? {} : { signal }),
    });
    await response.body.dump();
  }

  #pool(address: string): Pool {
    let pool = this.#pools.get(address);
    if (pool === undefined) {
      const { socketPath, origin } = parseAddress(address);
      pool = new Pool(origin, { pipelining: 1, keepAliveTimeout: 60_000, ...(socketPath === null ? {} : { socketPath }) });
      this.#pools.set(address, pool);
    }
    return pool;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }
}

function parseAddress(address: string): { socketPath: string | null; origin: string } {
  if (address.startsWith("unix:/")) return { socketPath: address.slice("unix:".length), origin: "http://localhost" };
  if (/^https?:\/\//.test(address)) return { socketPath: null, origin: address };
  throw fail("INTERNAL", `${address} is no service address: unix:/path or http(s)://host:port`);
}

function target(address: string): { secure: boolean; socketPath?: string; host?: string; port?: number } {
  const { socketPath, origin } = parseAddress(address);
  if (socketPath !== null) return { secure: false, socketPath };
  const { protocol, hostname, port } = new URL(origin);
  const secure = protocol === "https:";
  return { secure, host: hostname.replace(/[[\]]/g, ""), port: port === "" ? (secure ? 443 : 80) : Number(port) };
}

function unreachable(address: string, cause: unknown): Error {
  return fail("UNAVAILABLE", `cannot reach the service at ${address}`, { cause });
}

async function refusal(status: number, body: AsyncIterable<Buffer>, head: boolean): Promise<Error> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_ERROR_BYTES) break;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  let message = text.trim();
  let code: unknown;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) {
      const fields = parsed as { message?: unknown; code?: unknown };
      if (typeof fields.message === "string") message = fields.message;
      code = fields.code;
    }
  } catch {
    // Not JSON: the text itself is the message.
  }
  if (message === "") message = head && status === 404 ? "not found" : `an internal service answered ${status}`;
  return fail(isCode(code) ? code : codeFor(status), message);
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_STATUS, code);
}

function codeFor(status: number): ErrorCode {
  const codes: Readonly<Record<number, ErrorCode>> = {
    400: "INVALID", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 413: "TOO_LARGE", 501: "NOT_IMPLEMENTED", 503: "UNAVAILABLE", 504: "TIMEOUT",
  };
  return codes[status] ?? "INTERNAL";
}

import { fail } from "@gantry/contracts";
import { isGantryError, retry, type Clock } from "@gantry/kernel";
import { Agent, request, type Dispatcher } from "undici";
import { Authenticator, type Credentials } from "./auth.ts";

export interface Endpoint {
  /** `http://localhost:5000` or `https://…`, without a path. */
  readonly url: URL;
  /** Take any certificate. */
  readonly insecure: boolean;
}

export interface SendOptions {
  readonly method: Dispatcher.HttpMethod;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each try. */
  readonly body?: () => Dispatcher.DispatchOptions["body"];
  /** Statuses that are no error, beside 2xx. */
  readonly accept?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Default: GET and HEAD, which may be repeated. */
  readonly repeatable?: boolean;
}

const MAX_REDIRECTS = 5;
const ATTEMPTS = 4;
const HEADERS_MS = 60_000;
/** After an upload a registry may hash and copy before it answers. */
const UPLOAD_HEADERS_MS = 600_000;
const MAX_RETRY_AFTER_MS = 30_000;

/** Requests to one registry: authentication, redirects, and bounded retries of what may be repeated. */
export class Transport implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly #agent: Agent;
  readonly #auth: Authenticator;
  readonly #clock: Clock;

  constructor(options: { endpoint: Endpoint; credentials: Credentials | null; clock: Clock }) {
    this.endpoint = options.endpoint;
    this.#clock = options.clock;
    this.#agent = new Agent({
      connections: 16, headersTimeout: HEADERS_MS, bodyTimeout: HEADERS_MS, keepAliveTimeout: 30_000,
      connect: { timeout: 15_000, ...(options.endpoint.insecure ? { rejectUnauthorized: false } : {}) },
    });
    const plainAllowed = options.endpoint.url.protocol === "http:" || options.endpoint.insecure;
    this.#auth = new Authenticator({
      credentials: options.credentials, clock: options.clock, plainAllowed,
      send: (url, request) => this.#once(url, { method: request.method, headers: request.headers, ...(request.body === undefined ? {} : { body: request.body }) }),
    });
  }

  /** Sends to a path, or to a URL that the registry gave. The caller consumes the body. Throws UNAVAILABLE, UNAUTHORIZED, REGISTRY. */
  async send(target: string | URL, scope: string, options: SendOptions): Promise<Dispatcher.ResponseData> {
    const url = new URL(target, this.endpoint.url);
    const repeatable = options.repeatable ?? (options.method === "GET" || options.method === "HEAD");
    let retryAfter = 0;
    const attempt = async (): Promise<Dispatcher.ResponseData> => {
      if (retryAfter > 0) await this.#clock.sleep(retryAfter, options.signal);
      retryAfter = 0;
      const answer = await this.#authenticated(url, scope, options);
      if (!isTransient(answer.statusCode)) return answer;
      if (!repeatable) return answer;
      retryAfter = retryAfterMs(answer.headers["retry-after"]);
      await drop(answer);
      throw fail("UNAVAILABLE", `${url.host} answered ${answer.statusCode}`, { details: { status: answer.statusCode, reason: "", message: "" } });
    };
    return retry(attempt, {
      clock: this.#clock, attempts: repeatable ? ATTEMPTS : 1, baseMs: 100, maxMs: 2_000,
      retryable: (e) => isGantryError(e, "UNAVAILABLE") && options.signal?.aborted !== true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }

  async #authenticated(url: URL, scope: string, options: SendOptions): Promise<Dispatcher.ResponseData> {
    for (let answered = false; ; answered = true) {
      const answer = await this.#follow(url, scope, options);
      if (answer.statusCode !== 401 || answered) return answer;
      // A body that was sent once may be sent again only when it can be made again: so an upload starts with an empty request.
      if (options.body !== undefined && options.repeatable === false) return answer;
      if (!await this.#auth.answer(answer.headers["www-authenticate"], scope, this.endpoint.url)) return answer;
      await drop(answer);
    }
  }

  async #follow(first: URL, scope: string, options: SendOptions): Promise<Dispatcher.ResponseData> {
    let url = first;
    for (let hops = 0; ; hops++) {
      const headers: Record<string, string> = { ...options.headers };
      const authorization = url.origin === this.endpoint.url.origin ? this.#auth.header(scope) : null;
      if (authorization !== null) headers["authorization"] = authorization;
      const body = options.body?.();
      const answer = await this.#once(url, { method: options.method, headers, ...(body === undefined ? {} : { body }), signal: options.signal });
      const location = answer.headers["location"];
      if (![301, 302, 303, 307, 308].includes(answer.statusCode) || (options.method !== "GET" && options.method !== "HEAD")) return answer;
      await drop(answer);
      if (hops === MAX_REDIRECTS || typeof location !== "string" || !URL.canParse(location, url)) throw fail("REGISTRY", `${url.host} redirects without end or aim`);
      const next = new URL(location, url);
      if (next.protocol !== "https:" && !(next.protocol === "http:" && url.protocol === "http:")) throw fail("REGISTRY", `refusing the redirect from ${url.host} to ${next.protocol}//${next.host}`);
      url = next;
    }
  }

  async #once(url: URL, options: { method: Dispatcher.HttpMethod; headers: Record<string, string>; body?: Dispatcher.DispatchOptions["body"]; signal?: AbortSignal | undefined }): Promise<Dispatcher.ResponseData> {
    try {
      return await request(url, {
        dispatcher: this.#agent, method: options.method, headers: { "user-agent": "gantry", ...options.headers },
        body: options.body ?? null, signal: options.signal ?? null,
        ...(options.body === undefined ? {} : { headersTimeout: UPLOAD_HEADERS_MS }),
      });
    } catch (e) {
      if (isGantryError(e) || options.signal?.aborted === true) throw e;
      throw fail("UNAVAILABLE", `${capitalized(options.method)} "${url.origin}${url.pathname}": ${connectionWords(e)}`, { cause: e });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Frees the connection. */
export async function drop(answer: Dispatcher.ResponseData): Promise<void> {
  await answer.body.dump({ limit: 128 * 1024 }).catch(() => {});
}

function isTransient(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504 || status === 500;
}

function retryAfterMs(header: string | string[] | undefined): number {
  const seconds = Number(header);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) : 0;
}

function capitalized(method: string): string {
  return method[0] + method.slice(1).toLowerCase();
}

/** Go's words for the usual faults of a connection, which Docker's users know. */
function connectionWords(e: unknown): string {
  const error = e as { code?: string; address?: string; port?: number; hostname?: string; message?: string; errors?: unknown[] };
  if (error.errors?.[0] !== undefined) return connectionWords(error.errors[0]);
  switch (error.code) {
    case "ECONNREFUSED": return `dial tcp ${error.address}:${error.port}: connect: connection refused`;
    case "ENOTFOUND": return `dial tcp: lookup ${error.hostname}: no such host`;
    case "EAI_AGAIN": return `dial tcp: lookup ${error.hostname}: temporary failure in name resolution`;
    case "UND_ERR_CONNECT_TIMEOUT": return "dial tcp: i/o timeout";
    default: return error.message ?? String(e);
  }
}

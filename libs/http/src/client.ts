import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { fail } from "@gantry/contracts";
import { describeError, errnoOf, isGantryError } from "@gantry/kernel";
import { startClientSpan } from "@gantry/telemetry/http";
import { hostPort, parseAddress, type Address } from "./address.ts";
import { ServiceAgent, type ServiceRequestArgs } from "./agent.ts";
import type { Credentials } from "./credentials.ts";
import { errorOf } from "./error-body.ts";
import type { Identity } from "./identity.ts";

/** A service to ask. */
export interface Target {
  /** `unix:/path`, `http(s)://host:port`. */
  readonly address: string;
  /** Whom to find there: over TLS its certificate must say so. */
  readonly identity: Identity;
}

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readable | string | null;
  readonly signal?: AbortSignal;
  /** Without a byte in either direction for so long it ends with TIMEOUT; 0: never. */
  readonly idleMs?: number;
  /** Statuses of 400 and above that are an answer like another. */
  readonly accept?: readonly number[];
  /** Whether carrying it out twice is as good as once: default for GET and HEAD only. */
  readonly idempotent?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read to its end or destroyed. */
  readonly body: IncomingMessage;
}

export interface UpgradeRequest {
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly signal?: AbortSignal;
}

/** Less than servers keep them (listen.ts), so that it is we who close them. */
const KEPT_MS = 60_000;

/**
 * Asks the HTTP routes of other services. Connections are kept and used again by requests that may be sent twice: where a kept one
 * turns out to be dead, these are sent again on a new one. Every other request has a connection of its own.
 * Errors: the one an answer of 400 and above carries; UNAVAILABLE where the service cannot be reached or is not who it should be.
 */
export class HttpClient implements Disposable {
  readonly credentials: Credentials | null;
  readonly #kept: ServiceAgent;
  readonly #single: ServiceAgent;

  constructor({ credentials = null }: { credentials?: Credentials | null } = {}) {
    this.credentials = credentials;
    this.#kept = new ServiceAgent({ keepAlive: true, maxFreeSockets: 16, timeout: KEPT_MS }, credentials);
    this.#single = new ServiceAgent({ keepAlive: false }, credentials);
  }

  async request(target: Target, request: HttpRequest): Promise<HttpAnswer> {
    const { method, body = null, signal, accept = [] } = request;
    const address = parseAddress(target.address);
    const replayable = (request.idempotent ?? (method === "GET" || method === "HEAD")) && (body === null || typeof body === "string");
    signal?.throwIfAborted();
    const answer = await this.#send(target, address, request, replayable ? this.#kept : this.#single);
    if (answer.status < 400 || accept.includes(answer.status)) return answer;
    throw await errorOf(answer.status, answer.body, target.address);
  }

  /** Opens a raw stream (`POST`, `Upgrade: tcp`). Ending it tells the other side so; what that side sends goes on. */
  async upgrade(target: Target, { path, body, signal }: UpgradeRequest): Promise<Duplex> {
    const address = parseAddress(target.address);
    const payload = body === undefined ? null : JSON.stringify(body);
    signal?.throwIfAborted();
    const span = startClientSpan({ method: "POST", path, address: target.address });
    return await new Promise<Duplex>((resolve, reject) => {
      const sent = httpRequest(this.#args(target, address, this.#single, "POST", path, {
        connection: "Upgrade", upgrade: "tcp", ...span.headers,
        ...(payload === null ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(payload)) }),
      }, signal));
      sent.on("upgrade", (_response, socket, head) => {
        span.answered(101);
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      sent.on("response", (response) => {
        const status = response.statusCode ?? 500;
        span.answered(status);
        if (status >= 400) return void errorOf(status, response, target.address).then(reject, reject);
        response.destroy();
        reject(fail("INTERNAL", `${target.address} answered ${status} to a request for a raw stream`));
      });
      sent.on("error", (cause) => {
        span.failed(cause);
        reject(failure(target, cause, signal));
      });
      sent.end(payload ?? undefined);
    });
  }

  /** Ends kept connections and cuts requests under way; the credentials end with it. */
  [Symbol.dispose](): void {
    this.#kept.destroy();
    this.#single.destroy();
    this.credentials?.[Symbol.dispose]();
  }

  async #send(target: Target, address: Address, request: HttpRequest, agent: ServiceAgent): Promise<HttpAnswer> {
    const { method, path, headers = {}, body = null, signal, idleMs = 0 } = request;
    const span = startClientSpan({ method, path, address: target.address });
    const sent = httpRequest(this.#args(target, address, agent, method, path, { ...headers, ...span.headers }, signal));
    let answer: HttpAnswer | null = null;
    if (idleMs > 0) sent.setTimeout(idleMs, () => (answer?.body ?? sent).destroy(fail("TIMEOUT", `the service at ${target.address} was silent for ${idleMs / 1000} s`)));
    try {
      answer = await answered(sent, body);
      span.answered(answer.status);
      return answer;
    } catch (e) {
      span.failed(e);
      if (agent === this.#kept && sent.reusedSocket && isStale(e) && signal?.aborted !== true) return await this.#send(target, address, request, this.#single);
      throw failure(target, e, signal);
    }
  }

  #args(target: Target, address: Address, agent: ServiceAgent, method: string, path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined): ServiceRequestArgs {
    const host = address.kind === "unix" ? "localhost" : hostPort(address.host, address.port);
    return { destination: { address, identity: target.identity }, agent, method, path, headers: { host, ...headers }, ...(signal === undefined ? {} : { signal }) };
  }
}

/** Sends the body and resolves with the head of the answer, which may come before the body is sent. */
function answered(sent: ClientRequest, body: Readable | string | null): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    let source: Error | null = null;
    sent.once("response", (response) => resolve({ status: response.statusCode ?? 500, headers: response.headers, body: response }));
    sent.on("error", (error) => reject(source ?? error));
    sent.once("close", () => reject(source ?? new Error("the connection was closed before the answer")));
    if (body === null || typeof body === "string") {
      sent.end(body ?? undefined);
      return;
    }
    // Errors of what is being sent stay what they are.
    body.once("error", (error) => {
      source = error;
      sent.destroy(error);
    });
    sent.once("close", () => { if (!body.readableEnded) body.destroy(); });
    body.pipe(sent);
  });
}

/** Reads the rest of an answer, of which nothing is of interest. */
export async function discard({ body }: HttpAnswer): Promise<void> {
  await finished(body.resume());
}

function isStale(e: unknown): boolean {
  return !isGantryError(e) && ["ECONNRESET", "EPIPE"].includes(errnoOf(e) ?? "");
}

function failure(target: Target, e: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted === true) return signal.reason as Error;
  if (isGantryError(e)) return e;
  // A server's verdict over our certificate comes when the handshake is over for us, and as no more than a connection that is cut.
  const hint = target.address.startsWith("https:") && isStale(e) ? ": it ended, or did not take this service's certificate, which its log says then" : "";
  return fail("UNAVAILABLE", `cannot reach the service at ${target.address}: ${describeError(e)}${hint}`, { cause: e });
}

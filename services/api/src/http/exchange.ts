import type { Duplex, Readable, Writable } from "node:stream";
import { fail } from "@gantry/contracts";
import type { FastifyReply, FastifyRequest } from "fastify";
import { identityOf } from "../auth/identity.ts";
import type { Identity } from "../domain/access.ts";
import { isRecord } from "../domain/query.ts";
import { atLeast } from "../domain/version.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "DELETE";

/** A route of the Docker Engine API, without its version. */
export interface Route {
  readonly method: Method;
  /** `/containers/:id/json` */
  readonly path: string;
  readonly handle: (exchange: Exchange) => Promise<unknown>;
}

const MAX_JSON_BYTES = 4 * 1024 * 1024;
/** Sockets of requests that came with `Upgrade`. */
export const upgrades = new WeakMap<object, Duplex>();

/** The client's side of a stream that outlives the request. */
export interface ClientStream {
  readonly input: Readable;
  readonly output: Writable;
  /** Milliseconds that must lie between the head and the first byte after it. */
  readonly holdMs: number;
}

/**
 * docker-py reads the head through a buffer that it then throws away, and with it what has come behind the head by then. So
 * it gets the time to read the head first.
 */
const BUFFERS_HEADS = /^docker-sdk-python\//;
const HOLD_MS = 25;

/** One request and its answer, in Docker's manners. */
export class Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly version: string;
  #gone: AbortController | null = null;

  constructor(request: FastifyRequest, reply: FastifyReply, version: string) {
    this.request = request;
    this.reply = reply;
    this.version = version;
  }

  /** Who sends the request. */
  get identity(): Identity {
    return identityOf(this.request.raw);
  }

  get query(): URLSearchParams {
    return this.request.query as URLSearchParams;
  }

  /** The query as it came, with its `?`; empty where there is none. */
  get rawQuery(): string {
    const url = this.request.raw.url ?? "";
    const mark = url.indexOf("?");
    return mark < 0 ? "" : url.slice(mark);
  }

  param(name: string): string {
    return (this.request.params as Record<string, string>)[name] ?? "";
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  atLeast(version: string): boolean {
    return atLeast(this.version, version);
  }

  /** Aborts when the client goes away before it has its answer. */
  get gone(): AbortSignal {
    if (this.#gone === null) {
      const controller = new AbortController();
      this.#gone = controller;
      const { raw } = this.reply;
      if (raw.destroyed) controller.abort(fail("UNAVAILABLE", "the client went away"));
      else raw.once("close", () => { if (!raw.writableFinished) controller.abort(fail("UNAVAILABLE", "the client went away")); });
    }
    return this.#gone.signal;
  }

  /** The body as a JSON object; null where there is none. Throws INVALID and TOO_LARGE. */
  async body(): Promise<Record<string, unknown> | null> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.request.raw as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_JSON_BYTES) throw fail("TOO_LARGE", "request body too large");
      chunks.push(chunk);
    }
    if (size === 0) return null;
    const type = (this.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
    if (type !== "" && type !== "application/json") throw fail("INVALID", `unsupported Content-Type header (${type}): must be 'application/json'`);
    let parsed: unknown;
    try {
      parsed = JSON.parse((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8"));
    } catch (cause) {
      throw fail("INVALID", `invalid JSON: ${(cause as Error).message}`, { cause });
    }
    if (parsed === null) return null;
    if (!isRecord(parsed)) throw fail("INVALID", "invalid JSON: the body must be an object");
    return parsed;
  }

  json(value: unknown, status = 200): FastifyReply {
    return this.reply.code(status).header("content-type", "application/json").send(Buffer.from(`${JSON.stringify(value)}\n`));
  }

  empty(status = 204): FastifyReply {
    return this.reply.code(status).send();
  }

  text(value: string, status = 200): FastifyReply {
    return this.reply.code(status).header("content-type", "text/plain; charset=utf-8").send(Buffer.from(value));
  }

  /** Sends the head at once and hands over the body, for answers that come bit by bit. */
  open(contentType: string, headers: Readonly<Record<string, string>> = {}, status = 200): Writable {
    const { raw } = this.reply;
    this.reply.hijack();
    raw.writeHead(status, { ...headersOf(this.reply), "content-type": contentType, ...headers });
    raw.flushHeaders();
    return raw;
  }

  /**
   * Turns the connection into a raw stream: `101 UPGRADED` where the client asked for an upgrade, else `200 OK` with a
   * body that ends with the connection (its input is then the body of the request).
   */
  hijack(contentType: string): ClientStream {
    const { raw } = this.reply;
    const socket = upgrades.get(this.request.raw);
    if (socket === undefined) {
      raw.useChunkedEncodingByDefault = false;
      raw.shouldKeepAlive = false;
      return { input: this.request.raw, output: this.open(contentType), holdMs: 0 };
    }
    this.reply.hijack();
    raw.detachSocket(socket as Parameters<typeof raw.detachSocket>[0]);
    socket.once("close", () => raw.emit("close"));
    const own = Object.entries(headersOf(this.reply)).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${own}\r\n`);
    return { input: socket, output: socket, holdMs: BUFFERS_HEADS.test(this.header("user-agent") ?? "") ? HOLD_MS : 0 };
  }
}

function headersOf(reply: FastifyReply): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = String(value);
  }
  return headers;
}

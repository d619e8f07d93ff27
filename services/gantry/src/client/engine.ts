import { Agent, request, type IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fail } from "@gantry/contracts";
import type { Env } from "@gantry/kernel";
import { endpoint } from "./endpoint.ts";

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** A value is sent as JSON; a stream as it is. */
  readonly body?: unknown;
  readonly stream?: AsyncIterable<Uint8Array>;
}

/** A Docker Engine API endpoint: what this client, the demo and the tests talk to. */
export interface Engine {
  /** Answers the response of any status below 400; else throws with the engine's message. */
  open(method: string, path: string, options?: RequestOptions): Promise<IncomingMessage>;
  /** The response's JSON. */
  json<T>(method: string, path: string, options?: RequestOptions): Promise<T>;
  /** A connection taken over for a raw stream (attach, exec), and the response's content type. */
  hijack(path: string, options?: RequestOptions): Promise<{ stream: Duplex; multiplexed: boolean }>;
  close(): void;
}

const JSON_LIMIT = 64 << 20;

/**
 * `host`: `unix:///path`, `unix:/path` or `tcp://address:port`, as in DOCKER_HOST; over TCP with the token in GANTRY_TOKEN, and TLS as
 * docker has it: with DOCKER_TLS_VERIFY, by the files in DOCKER_CERT_PATH.
 */
export function connectEngine(host: string, env: Env = process.env): Engine {
  const { tls, headers, ...target } = endpoint(host, env);
  const httpRequest = tls ? process.getBuiltinModule("node:https").request : request;
  const agent = new (tls ? process.getBuiltinModule("node:https").Agent : Agent)({ keepAlive: true, maxSockets: 64 });

  const send = (method: string, path: string, options: RequestOptions, upgrade: boolean) => {
    const json = options.body === undefined ? null : Buffer.from(JSON.stringify(options.body));
    return {
      json,
      request: httpRequest({
        ...target,
        agent: upgrade ? false : agent,
        method,
        path: path + queryText(options.query),
        headers: {
          ...headers,
          ...(json === null ? {} : { "content-type": "application/json", "content-length": String(json.length) }),
          ...(upgrade ? { connection: "Upgrade", upgrade: "tcp" } : {}),
          ...options.headers,
        },
      }),
    };
  };

  const open: Engine["open"] = async (method, path, options = {}) => {
    const { request, json } = send(method, path, options, false);
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      request.on("response", resolve);
      request.on("error", (e) => reject(fail("UNAVAILABLE", `Cannot connect to Gantry at ${host}. Is it running? (npm start)`, { cause: e })));
    });
    if (options.stream !== undefined) pipeline(options.stream, request).catch((e: unknown) => request.destroy(e instanceof Error ? e : new Error(String(e))));
    else request.end(json ?? undefined);
    return checked(await response);
  };

  return {
    open,
    async json<T>(method: string, path: string, options?: RequestOptions) {
      const text = await readText(await open(method, path, options));
      return (text === "" ? null : JSON.parse(text)) as T;
    },
    hijack(path, options = {}) {
      const { request, json } = send("POST", path, options, true);
      return new Promise((resolve, reject) => {
        request.on("upgrade", (response, socket, head) => {
          if (head.length > 0) socket.unshift(head);
          resolve({ stream: socket, multiplexed: response.headers["content-type"] === "application/vnd.docker.multiplexed-stream" });
        });
        request.on("response", (response) => checked(response).then(() => reject(fail("INTERNAL", "the engine did not take over the connection")), reject));
        request.on("error", (e) => reject(fail("UNAVAILABLE", `Cannot connect to Gantry at ${host}. Is it running? (npm start)`, { cause: e })));
        request.end(json ?? undefined);
      });
    },
    close: () => agent.destroy(),
  };
}

function queryText(query: Query | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    if (typeof value === "object") for (const one of value) params.append(name, one);
    else params.append(name, String(value));
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

async function checked(response: IncomingMessage): Promise<IncomingMessage> {
  const status = response.statusCode ?? 0;
  if (status < 400) return response;
  const text = await readText(response);
  let message = text.trim();
  try {
    const body = JSON.parse(text) as { message?: string; detail?: string };
    message = body.message ?? body.detail ?? message;
  } catch {
    // a body that is not the API's JSON is shown as it is
  }
  throw fail(status === 404 ? "NOT_FOUND" : status === 409 ? "CONFLICT" : status < 500 ? "INVALID" : "INTERNAL", message, { details: { status } });
}

export async function readText(stream: Readable, limit = JSON_LIMIT): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > limit) throw fail("TOO_LARGE", `the answer is larger than ${limit} bytes`);
    parts.push(chunk as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
}

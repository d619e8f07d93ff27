import { pipeline } from "node:stream/promises";
import type { HttpClient, HttpRequest, Target } from "@gantry/http";
import type { Exchange } from "../http/exchange.ts";

export interface ProxyOptions extends Omit<HttpRequest, "signal" | "accept"> {
  readonly target: Target;
  readonly contentType: string;
  /** Names of the service's headers that the client gets. */
  readonly pass?: readonly string[];
}

/**
 * Asks a service and streams its answer to the client as it comes, no faster than the client reads; a client that goes
 * away ends the service's request. Refusals are thrown before anything is sent; a failure later cuts the connection.
 */
export async function proxy(http: HttpClient, exchange: Exchange, options: ProxyOptions): Promise<void> {
  const { target, contentType, pass = [], ...request } = options;
  const answer = await http.request(target, { ...request, signal: exchange.gone });
  const headers: Record<string, string> = {};
  for (const name of pass) {
    const value = answer.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  const output = exchange.open(contentType, headers, answer.status);
  // pipeline destroys both ends when one fails: that is all there is to say to a client in mid-stream.
  await pipeline(answer.body, output).catch(() => {});
}

import { pipeline } from "node:stream/promises";
import type { Exchange } from "../http/exchange.ts";
import type { Upstreams, UpstreamRequest } from "./upstreams.ts";

export interface ProxyOptions extends Omit<UpstreamRequest, "signal"> {
  readonly address: string;
  readonly contentType: string;
  /** Names of the service's headers that the client gets. */
  readonly pass?: readonly string[];
}

/**
 * Asks a service and streams its answer to the client as it comes, no faster than the client reads; a client that goes
 * away ends the service's request. Refusals are thrown before anything is sent; a failure later cuts the connection.
 */
export async function proxy(upstreams: Upstreams, exchange: Exchange, options: ProxyOptions): Promise<void> {
  const { address, contentType, pass = [], ...request } = options;
  const response = await upstreams.request(address, { ...request, signal: exchange.gone });
  const headers: Record<string, string> = {};
  for (const name of pass) {
    const value = response.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  const output = exchange.open(contentType, headers, response.statusCode);
  // pipeline destroys both ends when one fails: that is all there is to say to a client in mid-stream.
  await pipeline(response.body, output).catch(() => {});
}

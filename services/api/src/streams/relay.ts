import { pipeline } from "node:stream/promises";
import type { HttpAnswer } from "@gantry/http";
import type { Exchange } from "../http/exchange.ts";

export interface RelayOptions {
  readonly contentType: string;
  /** Names of the service's headers that the client gets. */
  readonly pass?: readonly string[];
}

/** Streams a service's answer to the client as it comes, no faster than the client reads. A failure cuts the connection. */
export async function relay(exchange: Exchange, answer: HttpAnswer, { contentType, pass = [] }: RelayOptions): Promise<void> {
  const headers: Record<string, string> = {};
  for (const name of pass) {
    const value = answer.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  const output = exchange.open(contentType, headers, answer.status);
  // pipeline destroys both ends when one fails: that is all there is to say to a client in mid-stream.
  await pipeline(answer.body, output).catch(() => {});
}

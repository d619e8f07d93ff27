import type { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import type { Dispatcher } from "undici";

const MAX_REDIRECTIONS = 5;

/** The body of a URL that a client named, redirections followed. Throws INVALID with what went wrong. */
export async function download(url: URL, signal: AbortSignal): Promise<Readable> {
  const { Agent, interceptors, request } = await import("undici"); // seldom needed, and long to load
  const dispatcher = new Agent().compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTIONS }));
  let response: Dispatcher.ResponseData;
  try {
    response = await request(url, { dispatcher, signal, headersTimeout: 60_000, bodyTimeout: 60_000 });
  } catch (cause) {
    signal.throwIfAborted();
    throw fail("INVALID", `cannot download ${url.href}: ${(cause as Error).message}`, { cause });
  }
  if (response.statusCode !== 200) {
    await response.body.dump();
    throw fail("INVALID", `cannot download ${url.href}: the server answered ${response.statusCode}`);
  }
  response.body.once("close", () => void dispatcher.close());
  return response.body;
}

import type { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { interceptors, request, Agent } from "undici";

const MAX_REDIRECTIONS = 5;

/** The body of a URL that a client named, redirections followed. Throws INVALID with what went wrong. */
export async function download(url: URL, signal: AbortSignal): Promise<Readable> {
  const dispatcher = new Agent().compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTIONS }));
  let response: Awaited<ReturnType<typeof request>>;
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

import { createHash } from "node:crypto";
import { fail } from "@gantry/contracts";
import { backoffMs, isGantryError, type Clock } from "@gantry/kernel";
import type { Dispatcher } from "undici";

export interface Fetched {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData["headers"];
  readonly body: AsyncIterable<Uint8Array>;
}

const MAX_STALLS = 5;

/**
 * A blob's bytes, checked against its digest and size while they pass: the end of the iteration means they were right.
 * A broken connection is taken up again where it broke (Range), as long as each new one brings something, up to a bound without.
 * With `verified` only the size is checked.
 * Throws DIGEST_MISMATCH, or what the last try threw.
 */
export async function* download(
  blob: { readonly digest: string; readonly size: number },
  fetch: (offset: number) => Promise<Fetched>,
  options: { readonly clock: Clock; readonly signal?: AbortSignal | undefined; readonly onProgress?: ((bytes: number) => void) | undefined; readonly verified?: boolean | undefined },
): AsyncGenerator<Uint8Array> {
  const hash = options.verified === true ? null : createHash("sha256");
  let received = 0;
  for (let stalls = 0; ;) {
    const before = received;
    try {
      const fetched = await fetch(received);
      for await (const chunk of fromOffset(fetched, received)) {
        received += chunk.length;
        if (received > blob.size) throw fail("DIGEST_MISMATCH", `blob ${blob.digest} is longer than the ${blob.size} bytes its descriptor says`);
        hash?.update(chunk);
        options.onProgress?.(received);
        yield chunk;
      }
      if (received === blob.size) break;
      throw fail("UNAVAILABLE", `unexpected EOF: ${received} of ${blob.size} bytes of blob ${blob.digest}`);
    } catch (e) {
      if (options.signal?.aborted === true || (isGantryError(e) && e.code !== "UNAVAILABLE")) throw e;
      stalls = received > before ? 1 : stalls + 1;
      if (stalls > MAX_STALLS) throw e;
      await options.clock.sleep(backoffMs(stalls, Math.random, { baseMs: 50, maxMs: 2_000 }), options.signal);
    }
  }
  if (hash === null) return;
  const digest = `sha256:${hash.digest("hex")}`;
  if (digest !== blob.digest) throw fail("DIGEST_MISMATCH", `filesystem layer verification failed for digest ${blob.digest}: received ${digest}`);
}

/** Of a server without ranges the first bytes are read and dropped. */
async function* fromOffset(fetched: Fetched, offset: number): AsyncGenerator<Uint8Array> {
  let skip = 0;
  if (offset > 0 && fetched.status === 200) skip = offset;
  else if (offset > 0 && !String(fetched.headers["content-range"] ?? "").startsWith(`bytes ${offset}-`)) {
    throw fail("REGISTRY", "the registry answered with another range than it was asked for");
  }
  for await (const chunk of fetched.body) {
    if (skip >= chunk.length) { skip -= chunk.length; continue; }
    yield skip > 0 ? chunk.subarray(skip) : chunk;
    skip = 0;
  }
}

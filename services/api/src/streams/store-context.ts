import type { Readable } from "node:stream";
import type { BlobInfo, ContentStore } from "@gantry/content";
import { fail } from "@gantry/contracts";
import { pack } from "tar-stream";
import { checkRemote, SNIFF_BYTES, sniffContext } from "../domain/remote-context.ts";
import { download } from "./download.ts";

const MAX_DOCKERFILE = 4 * 1024 * 1024;

/**
 * Stores a build's context as a blob: the request's body, or what `remote` names, where a lone Dockerfile becomes a tar of
 * it. TOO_LARGE past `maxBytes`. Volatile: a context that is lost with the machine's power is sent again.
 */
export async function storeContext(content: ContentStore, body: Readable, options: { remote: string | null; maxBytes: number; signal: AbortSignal }): Promise<BlobInfo> {
  const { remote, maxBytes, signal } = options;
  if (remote === null) return await content.ingest(body, { volatile: true, maxBytes });
  const source = (await download(checkRemote(remote), signal))[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const chunks: Buffer[] = [];
  let size = 0;
  let done = false;
  while (!done && size < SNIFF_BYTES) done = await take();
  if (sniffContext(Buffer.concat(chunks)) === "archive") return await content.ingest(rest(chunks, source), { volatile: true, maxBytes });
  while (!done && size <= MAX_DOCKERFILE) done = await take();
  if (size > MAX_DOCKERFILE) throw fail("TOO_LARGE", `the Dockerfile at ${remote} is larger than ${MAX_DOCKERFILE} bytes`);
  const archive = pack();
  archive.entry({ name: "Dockerfile", mode: 0o600, mtime: new Date(0) }, Buffer.concat(chunks));
  archive.finalize();
  return await content.ingest(archive as AsyncIterable<Uint8Array>, { volatile: true });

  async function take(): Promise<boolean> {
    const next = await source.next();
    if (next.done === true) return true;
    chunks.push(next.value);
    size += next.value.length;
    return false;
  }
}

async function* rest(head: readonly Buffer[], source: AsyncIterator<Buffer>): AsyncGenerator<Uint8Array> {
  yield* head;
  for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value;
}

import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { fail } from "@gantry/contracts";
import type { BlobInfo } from "./port.ts";

/** Bytes gathered for one write. While one is under way, the next are received and hashed. */
const WRITE_BYTES = 1 << 20;
/** The kernel's IOV_MAX. */
const WRITE_CHUNKS = 1024;

/**
 * Writes a stream to a file and hashes it, in one pass without a copy. The stream must not reuse the chunks it has given.
 * TOO_LARGE beyond `maxBytes`.
 */
export async function writeHashed(file: FileHandle, stream: AsyncIterable<Uint8Array>, maxBytes: number): Promise<BlobInfo> {
  const hash = createHash("sha256");
  let size = 0;
  let batch: Uint8Array[] = [];
  let batched = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    await writing;
    writing = writeAll(file, batch);
    // Awaited with the next flush; until then a failure is not unhandled.
    writing.catch(() => {});
    batch = [];
    batched = 0;
  };
  try {
    for await (const chunk of stream) {
      size += chunk.byteLength;
      if (size > maxBytes) throw fail("TOO_LARGE", `content is larger than the ${maxBytes} bytes allowed`);
      if (chunk.byteLength === 0) continue;
      hash.update(chunk);
      batch.push(chunk);
      batched += chunk.byteLength;
      if (batched >= WRITE_BYTES || batch.length >= WRITE_CHUNKS) await flush();
    }
    if (batch.length > 0) await flush();
  } finally {
    // The file must not be closed under a write.
    await writing.catch(() => {});
  }
  await writing;
  return { digest: `sha256:${hash.digest("hex")}`, size };
}

async function writeAll(file: FileHandle, chunks: Uint8Array[]): Promise<void> {
  while (chunks.length > 0) {
    let { bytesWritten } = await file.writev(chunks);
    let done = 0;
    while (done < chunks.length && bytesWritten >= chunks[done]!.byteLength) bytesWritten -= chunks[done++]!.byteLength;
    chunks = chunks.slice(done);
    if (bytesWritten > 0) chunks[0] = chunks[0]!.subarray(bytesWritten);
  }
}

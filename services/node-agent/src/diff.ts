import type { ReplyOf, nodeContainerDiff } from "@gantry/contracts";
import { TarParser } from "@gantry/snapshots";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";

const MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** The writable layer into the content store, uncompressed: its digest is its diff ID. The container is frozen meanwhile if asked for. */
export async function diffContainer(agent: Agent, entry: Entry, pause: boolean): Promise<ReplyOf<typeof nodeContainerDiff>> {
  const freeze = pause && entry.stored.state.status === "running" ? entry.running : null;
  await freeze?.pause();
  try {
    const counted = { size: 0, entries: 0 };
    const blob = await agent.content.ingest(count(agent.snapshots.diff(entry.id), counted));
    return { diffId: blob.digest, digest: blob.digest, mediaType: MEDIA_TYPE, blobSize: blob.size, size: counted.size, empty: counted.entries === 0 };
  } finally {
    await freeze?.resume().catch((e: unknown) => agent.logger.debug({ err: e, container: entry.id }, "ended while it was frozen"));
  }
}

/** Bytes of the files in the layer, as `docker history` shows them. */
async function* count(source: AsyncIterable<Buffer>, counted: { size: number; entries: number }): AsyncGenerator<Uint8Array> {
  const parser = new TarParser({
    entry() { counted.entries++; },
    data(chunk) { counted.size += chunk.length; },
    end() {},
  });
  for await (const chunk of source) {
    parser.push(chunk);
    yield chunk;
  }
}

import type { Header, Pack } from "tar-stream";

export type Entry = Partial<Header> & Pick<Header, "name">;

/** The bytes of an archive being packed: streamx's readables can be iterated, which their types do not say. */
export function archiveBytes(archive: Pack): AsyncIterable<Uint8Array> {
  return archive as unknown as AsyncIterable<Uint8Array>;
}

import type { FileHandle } from "node:fs/promises";
import type { Readable } from "node:stream";

export interface BlobInfo {
  /** `sha256:<64 hex>` of the stored bytes. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Blobs by digest. What is returned by `open` has the digest it was asked for; what `ingest` has answered is on disk.
 * Implementations: a directory (`DiskContentStore`), and the image store's blob API over HTTP (`HttpContentStore`).
 */
export interface ContentStore {
  /** null where there is none. */
  stat(digest: string): Promise<BlobInfo | null>;
  /** Throws NO_SUCH_BLOB. `offset` and `length` in bytes. */
  open(digest: string, range?: { offset: number; length?: number }): Promise<Readable>;
  /**
   * Stores a stream and answers its digest. With `expected`, anything else is DIGEST_MISMATCH. An interrupted ingest leaves
   * nothing visible. Durable (synced) when it resolves, unless `volatile`: then durable after {@link sync}.
   */
  ingest(stream: AsyncIterable<Uint8Array>, options?: { expected?: string; maxBytes?: number; volatile?: boolean }): Promise<BlobInfo>;
  /** Makes earlier volatile ingests durable. */
  sync(): Promise<void>;
}

/** What only the owner of the blobs may do: the image store, over its own directory (`DiskContentStore`). */
export interface OwnedContentStore extends ContentStore {
  /** Every blob, in no order. `storedAt`: milliseconds since the epoch. */
  list(): AsyncIterable<BlobInfo & { readonly storedAt: number }>;
  /** The blob's file, which the caller closes. Throws NO_SUCH_BLOB. */
  openFile(digest: string): Promise<FileHandle>;
  /** No error where there is none. Readers that have it open read on. */
  delete(digest: string): Promise<void>;
}

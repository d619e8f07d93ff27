import type { Readable } from "node:stream";

/**
 * How to mount a root file system with overlay: every path is relative to `base`, so that many layers fit one page of options.
 * `lowers` has the topmost layer first. `upper` and `work` are null for a read-only view.
 */
export interface OverlayRootfs {
  readonly base: string;
  readonly lowers: readonly string[];
  readonly upper: string | null;
  readonly work: string | null;
  /** No sync at unmount: for `--rm` containers and build steps. */
  readonly volatile: boolean;
}

export interface LayerStat {
  readonly chainId: string;
  readonly parent: string | null;
  readonly diffId: string;
  /** Bytes of the files in this layer. */
  readonly size: number;
}

/**
 * Layers unpacked on this host, by chain ID, and writable snapshots on top of them, by key.
 *
 * - A committed layer never changes and is complete once `stat` finds it, also after a crash.
 * - A snapshot holds its parents: they are never collected while it exists.
 * - Unpacking stays beneath the layer's directory whatever names and links an archive has.
 * - Safe for several processes on one host over the same directory.
 * - `apply` then `diff` gives the same set of entries: types, modes, owners, times (ns), links, xattrs, devices, whiteouts
 *   (`.wh.x`), opaque directories (`.wh..wh..opq`), sparse content.
 */
export interface Snapshotter {
  stat(chainId: string): Promise<LayerStat | null>;
  /** Unpacks an uncompressed layer tar onto `parent`. Verifies `diffId` (DIGEST_MISMATCH). Idempotent; concurrent calls share the work. */
  apply(layer: { parent: string | null; diffId: string; chainId: string }, tar: AsyncIterable<Uint8Array>): Promise<LayerStat>;
  /** A writable snapshot on the chain `parent`. CONFLICT where the key exists. */
  prepare(key: string, parent: string | null, options?: { volatile?: boolean }): Promise<OverlayRootfs>;
  rootfs(key: string): Promise<OverlayRootfs>;
  /** Mounts a snapshot where this process can see it; unmounted on disposal. */
  mount(key: string, options?: { readonly?: boolean }): Promise<AsyncDisposable & { readonly path: string }>;
  /** The snapshot's changes as a layer tar (uncompressed, entries sorted by path, whiteouts as `.wh.`). */
  diff(key: string): Readable;
  /** Rows of `docker diff`. */
  changes(key: string): Promise<{ path: string; kind: "added" | "modified" | "deleted" }[]>;
  /** Turns the snapshot into a committed layer; the key is gone afterwards. Idempotent when the layer exists. */
  commit(key: string, layer: { diffId: string; chainId: string }): Promise<LayerStat>;
  /** Deletes a snapshot; its files are renamed away at once and deleted in the background. No error when there is none. */
  remove(key: string): Promise<void>;
  /** Bytes of the snapshot's own files. */
  usage(key: string): Promise<number>;
  list(): Promise<{ key: string; parent: string | null }[]>;
  /** Deletes committed layers that are neither in `keep`, nor a parent of one kept, nor of any snapshot. Returns bytes freed. */
  collect(keep: ReadonlySet<string>): Promise<number>;
}

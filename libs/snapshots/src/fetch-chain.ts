import type { Readable } from "node:stream";
import { pipeline } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { fail } from "@gantry/contracts";
import { describeError, type Logger } from "@gantry/kernel";
import { compressionOf } from "@gantry/oci";
import { counter, metric } from "@gantry/telemetry/metrics";
import { traced } from "@gantry/telemetry/trace";
import type { Snapshotter } from "./port.ts";

/** A layer as the image store knows it (`LayerInfo`). */
export interface ChainLayer {
  readonly diffId: string;
  readonly chainId: string;
  /** Of the stored blob. */
  readonly digest: string;
  /** Of the stored blob: says how it is compressed. */
  readonly mediaType: string;
}

/** Where the blobs are: a `ContentStore`. */
export interface BlobSource {
  open(digest: string): Promise<Readable>;
}

export interface EnsureOptions {
  readonly logger: Logger;
  readonly signal?: AbortSignal;
  /** Told as layers come: those that were here already are not told of. */
  readonly onLayer?: (layer: ChainLayer, state: "fetching" | "done") => void;
}

const CHUNK = 256 * 1024;

const fetched = counter(metric.layersFetched);
const fetchedBytes = counter(metric.layerBytes);

/**
 * Makes sure that a chain of layers, bottom first, is on this host: what is missing is fetched from `blobs`, uncompressed by its
 * media type, and applied in order. Concurrent calls for the same layers share the work (see `Snapshotter.apply`).
 * NO_SUCH_BLOB, DIGEST_MISMATCH, and INVALID for damaged data, name the layer.
 */
export async function ensureLayers(snapshots: Snapshotter, blobs: BlobSource, layers: readonly ChainLayer[], options: EnsureOptions): Promise<void> {
  const first = await firstMissing(snapshots, layers);
  for (let i = first; i < layers.length; i++) {
    options.signal?.throwIfAborted();
    const layer = layers[i]!;
    options.onLayer?.(layer, "fetching");
    const parent = i === 0 ? null : layers[i - 1]!.chainId;
    await applyLayer(snapshots, blobs, layer, parent, options.signal);
    options.logger.debug({ digest: layer.digest, chainId: layer.chainId }, "layer unpacked");
    options.onLayer?.(layer, "done");
  }
}

/** One span for each layer: its child is the request for the blob, where there is one. */
async function applyLayer(snapshots: Snapshotter, blobs: BlobSource, layer: ChainLayer, parent: string | null, signal: AbortSignal | undefined): Promise<void> {
  const { digest, diffId, chainId } = layer;
  let outcome: "ok" | "failed" = "failed";
  try {
    await traced("@gantry/snapshots", "fetch layer", { "gantry.layer.digest": digest }, () => snapshots.apply({ parent, diffId, chainId }, uncompressed(blobs, layer, signal)));
    outcome = "ok";
  } finally {
    fetched.add(1, { outcome });
  }
}

/** Index of the lowest layer that is not here. Looks from the top, where a whole image is found at once. */
async function firstMissing(snapshots: Snapshotter, layers: readonly ChainLayer[]): Promise<number> {
  for (let i = layers.length; i > 0; i--) if ((await snapshots.stat(layers[i - 1]!.chainId)) !== null) return i;
  return 0;
}

/** Opened only when it is read: a layer that came meanwhile is not fetched. */
async function* uncompressed(blobs: BlobSource, layer: ChainLayer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(layer.mediaType);
  if (compression === null) throw fail("INVALID", `layer ${layer.digest} has the unknown media type ${layer.mediaType}`);
  const blob = await blobs.open(layer.digest);
  let bytes = 0;
  const stop = (): void => void blob.destroy(signal?.reason as Error);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (compression === "none") {
      for await (const chunk of blob as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        yield chunk;
      }
      return;
    }
    const unzip = compression === "gzip" ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK });
    pipeline(blob, unzip, () => {});
    try {
      yield* unzip as AsyncIterable<Uint8Array>;
      bytes = unzip.bytesWritten;
    } catch (cause) {
      signal?.throwIfAborted();
      throw fail("INVALID", `layer ${layer.digest}: damaged ${compression} data: ${describeError(cause)}`, { cause });
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    blob.destroy();
    fetchedBytes.add(bytes, {});
  }
}

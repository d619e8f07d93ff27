import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import { sniffCompression, type Compression } from "@gantry/oci";
import { LayerScan } from "../domain/layer-scan.ts";

/** What is inside a layer's blob. */
export interface LayerFacts {
  readonly compression: Compression;
  /** Digest of the uncompressed tar; null where the blob itself is that tar. */
  readonly diffId: string | null;
  /** Bytes of the files. */
  readonly size: number;
}

/** Shorter than a tar's header: no layer. */
const HEAD_BYTES = 512;

/**
 * Looks into a blob while it streams by: {@link write} each chunk, awaiting it for back-pressure, then {@link end}.
 * Never fails: what is no tar, plain or compressed by gzip or zstd, is null.
 */
export class LayerAnalysis {
  readonly #scan = new LayerScan();
  readonly #head: Uint8Array[] = [];
  #headBytes = 0;
  #compression: Compression | null = null;
  #decompressor: Transform | null = null;
  #hash: Hash | null = null;
  #finished: Promise<void> | null = null;
  #failed = false;

  /** True once the bytes cannot be a layer: further writes cost nothing. */
  get failed(): boolean {
    return this.#failed;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failed) return;
    if (this.#compression !== null) return this.#feed(chunk);
    this.#head.push(chunk);
    this.#headBytes += chunk.length;
    if (this.#headBytes >= HEAD_BYTES) await this.#begin();
  }

  async end(): Promise<LayerFacts | null> {
    if (!this.#failed && this.#compression === null && this.#headBytes > 0) await this.#begin();
    if (this.#failed || this.#compression === null) return null;
    if (this.#decompressor !== null) {
      this.#decompressor.end();
      try {
        await this.#finished;
      } catch {
        this.#failed = true;
      }
    }
    if (!this.#failed) this.#try(() => this.#scan.end());
    if (this.#failed) return null;
    return { compression: this.#compression, diffId: this.#hash === null ? null : `sha256:${this.#hash.digest("hex")}`, size: this.#scan.size };
  }

  /** To be called where {@link end} is not. */
  abandon(): void {
    this.#failed = true;
    this.#decompressor?.destroy();
  }

  async #begin(): Promise<void> {
    const head = this.#head.length === 1 ? this.#head[0]! : Buffer.concat(this.#head);
    this.#head.length = 0;
    const compression = sniffCompression(head);
    if (compression === "bzip2" || compression === "xz" || (compression === "none" && head.length < HEAD_BYTES)) {
      this.#failed = true;
      return;
    }
    this.#compression = compression;
    if (compression !== "none") this.#startDecompressor(compression);
    await this.#feed(head);
  }

  #startDecompressor(compression: "gzip" | "zstd"): void {
    const options = { chunkSize: 256 * 1024 };
    const decompressor = compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
    const hash = createHash("sha256");
    decompressor.on("data", (data: Uint8Array) => {
      if (this.#failed) return;
      hash.update(data);
      this.#try(() => this.#scan.push(data));
      if (this.#failed) decompressor.destroy();
    });
    this.#decompressor = decompressor;
    this.#hash = hash;
    this.#finished = new Promise((resolve, reject) => {
      decompressor.once("end", resolve);
      decompressor.once("error", reject);
      decompressor.once("close", () => reject(new Error("closed")));
    });
    this.#finished.catch(() => { this.#failed = true; });
  }

  async #feed(chunk: Uint8Array): Promise<void> {
    if (this.#decompressor === null) {
      this.#try(() => this.#scan.push(chunk));
    } else if (!this.#decompressor.write(chunk) && !this.#failed) {
      await Promise.race([once(this.#decompressor, "drain").catch(() => {}), this.#finished!.catch(() => {})]);
    }
  }

  #try(work: () => void): void {
    try {
      work();
    } catch {
      this.#failed = true;
    }
  }
}

/** Passes a stream on while `analysis` reads along; gives it up when the stream ends early. */
export async function* alongside(stream: AsyncIterable<Uint8Array>, analysis: LayerAnalysis): AsyncGenerator<Uint8Array> {
  let whole = false;
  try {
    for await (const chunk of stream) {
      await analysis.write(chunk);
      yield chunk;
    }
    whole = true;
  } finally {
    if (!whole) analysis.abandon();
  }
}

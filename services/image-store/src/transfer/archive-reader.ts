import { posix } from "node:path";
import { fail } from "@gantry/contracts";
import { isDigest } from "@gantry/oci";
import { extract } from "tar-stream";
import { Readable } from "node:stream";
import type { ImageStore } from "../store/image-store.ts";
import type { LayerFacts } from "../store/layer-analysis.ts";

/** Files up to this size are kept in memory: configs, manifests and small layers. */
const SMALL_BYTES = 1 << 20;
/** Of these all together; what comes after is stored like big ones. */
const MAX_SMALL_TOTAL = 64 << 20;
const MAX_ENTRIES = 200_000;
const MAX_LINKS = 16;

export type ArchiveFile =
  | { readonly kind: "small"; readonly data: Buffer }
  | { readonly kind: "blob"; readonly digest: string; readonly size: number; readonly facts: LayerFacts | null };

/**
 * An image archive, read once from front to end: small files are in memory, big ones in the blob store, leased until disposed.
 * Names are only ever keys here; nothing is written under them.
 */
export class Archive implements Disposable {
  readonly #files = new Map<string, ArchiveFile>();
  readonly #links = new Map<string, string>();
  readonly #leases = new DisposableStack();

  static async read(store: ImageStore, tar: AsyncIterable<Uint8Array>, maxBytes: number, signal: AbortSignal): Promise<Archive> {
    const archive = new Archive();
    try {
      await archive.#fill(store, tar, maxBytes, signal);
      return archive;
    } catch (e) {
      archive[Symbol.dispose]();
      throw e;
    }
  }

  /** Follows links. null where there is no such file. */
  file(name: string): ArchiveFile | null {
    let at = cleanName(name);
    for (let hops = 0; at !== null && hops < MAX_LINKS; hops++) {
      const found = this.#files.get(at);
      if (found !== undefined) return found;
      at = this.#links.get(at) ?? null;
    }
    return null;
  }

  /** A small file; throws INVALID where it is not there or not small. */
  text(name: string): Buffer {
    const found = this.file(name);
    if (found === null) throw fail("INVALID", `invalid archive: ${JSON.stringify(name)} is missing`);
    if (found.kind !== "small") throw fail("TOO_LARGE", `invalid archive: ${JSON.stringify(name)} is too large`);
    return found.data;
  }

  [Symbol.dispose](): void {
    this.#leases[Symbol.dispose]();
  }

  async #fill(store: ImageStore, tar: AsyncIterable<Uint8Array>, maxBytes: number, signal: AbortSignal): Promise<void> {
    const entries = extract();
    const source = Readable.from(tar, { objectMode: false, highWaterMark: 1 << 20, signal });
    source.on("error", (e) => entries.destroy(e));
    source.pipe(entries);
    let small = 0, count = 0;
    try {
      for await (const entry of entries) {
        if (++count > MAX_ENTRIES) throw fail("TOO_LARGE", "invalid archive: too many entries");
        const { header } = entry;
        const name = cleanName(header.name);
        if (name !== null && (header.type === "symlink" || header.type === "link") && header.linkname) {
          const target = cleanName(header.type === "link" ? header.linkname : posix.join(posix.dirname(name), header.linkname));
          if (target !== null) this.#links.set(name, target);
        }
        if (name === null || (header.type !== "file" && header.type !== "contiguous-file")) {
          entry.resume();
          continue;
        }
        const size = header.size ?? 0;
        if (size <= SMALL_BYTES && small + size <= MAX_SMALL_TOTAL) {
          small += size;
          const chunks: Buffer[] = [];
          for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
          this.#files.set(name, { kind: "small", data: Buffer.concat(chunks) });
        } else {
          const stored = await store.blobs.ingestLayer(entry as AsyncIterable<Uint8Array>, { maxBytes, volatile: true });
          this.#leases.use(store.blobs.lease([stored.digest]));
          this.#files.set(name, { kind: "blob", digest: stored.digest, size: stored.size, facts: stored.facts });
          checkBlobName(name, stored.digest);
        }
      }
    } catch (e) {
      if (signal.aborted) throw signal.reason;
      throw e instanceof Error && /tar|end of data|Unexpected end/i.test(e.message) && !("code" in e) ? fail("INVALID", `invalid tar: ${e.message}`, { cause: e }) : e;
    } finally {
      source.destroy();
    }
  }
}

/** In an OCI layout a file is named by its digest. */
function checkBlobName(name: string, digest: string): void {
  const match = /(?:^|\/)blobs\/sha256\/([0-9a-f]{64})$/.exec(name);
  if (match !== null && isDigest(`sha256:${match[1]}`) && `sha256:${match[1]}` !== digest) {
    throw fail("DIGEST_MISMATCH", `invalid archive: blob sha256:${match[1]} has digest ${digest}`);
  }
}

/** A name within the archive without `./`; null for one that leads out of it. */
function cleanName(name: string): string | null {
  const clean = posix.normalize(name).replace(/^(?:\.\/)+/, "").replace(/^\/+/, "").replace(/\/$/, "");
  return clean === "" || clean === "." || clean === ".." || clean.startsWith("../") ? null : clean;
}

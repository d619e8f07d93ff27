import type { ContentStore } from "@gantry/content";
import { blobBytes } from "./archive-bytes.ts";
import { loadArchive, type LoadedArchive } from "./load.ts";

const MAX_WEIGHT = 128 * 1024 * 1024;

interface Kept {
  readonly archive: Promise<LoadedArchive>;
  users: number;
  /** Left out of the map: goes with its last user. */
  stale: boolean;
  /** 0 until it is loaded. */
  weight: number;
}

/**
 * Build contexts by digest. An index made once serves every build of the same context: kept until newer ones need the memory.
 */
export class Contexts implements AsyncDisposable {
  readonly #content: ContentStore;
  readonly #spoolDir: string;
  readonly #kept = new Map<string, Kept>();

  constructor(options: { content: ContentStore; spoolDir: string }) {
    this.#content = options.content;
    this.#spoolDir = options.spoolDir;
  }

  /** NO_SUCH_BLOB; INVALID where it is no tar. The archive is there until disposed. */
  async open(digest: string): Promise<AsyncDisposable & { readonly archive: LoadedArchive }> {
    const kept = this.#kept.get(digest) ?? { archive: this.#load(digest), users: 0, stale: false, weight: 0 };
    // To the end: the last used is the last to go.
    this.#kept.delete(digest);
    this.#kept.set(digest, kept);
    kept.users++;
    try {
      const archive = await kept.archive;
      kept.weight = archive.weight;
      return { archive, [Symbol.asyncDispose]: () => this.#release(kept) };
    } catch (e) {
      if (this.#kept.get(digest) === kept) this.#kept.delete(digest);
      throw e;
    }
  }

  async #load(digest: string): Promise<LoadedArchive> {
    return await loadArchive(await this.#content.open(digest), blobBytes(this.#content, digest), this.#spoolDir);
  }

  async #release(kept: Kept): Promise<void> {
    kept.users--;
    let weight = 0;
    for (const [digest, each] of [...this.#kept].reverse()) {
      weight += each.weight;
      if (weight <= MAX_WEIGHT) continue;
      this.#kept.delete(digest);
      each.stale = true;
      if (each.users === 0 && each !== kept) await dispose(each);
    }
    if (kept.stale && kept.users === 0) await dispose(kept);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#kept.values()];
    this.#kept.clear();
    for (const each of all) await dispose(each);
  }
}

async function dispose(kept: Kept): Promise<void> {
  const archive = await kept.archive.catch(() => null);
  await archive?.[Symbol.asyncDispose]();
}

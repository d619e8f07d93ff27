import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { bootId, errnoOf, processLives, processTag } from "@gantry/kernel";
import { digestHex } from "./digest.ts";
import { writeHashed } from "./hashing-writer.ts";
import type { BlobInfo, ContentStore } from "./port.ts";

/** One read of a blob; measured best for big ones. */
const READ_BYTES = 512 * 1024;
/** From so many volatile blobs on, one sync of the file system beats one of each. */
const SYNCFS_FROM = 8;

export interface DiskContentStoreOptions {
  /** Where the blobs are; made when missing. All of it lies in one file system. */
  readonly dir: string;
  /** `syncfs(2)` on a descriptor, for {@link ContentStore.sync} of many blobs (NativeFs has it). */
  readonly syncfs?: (fd: number) => Promise<void>;
}

export interface ListedBlob extends BlobInfo {
  /** When it was stored last, in milliseconds since the epoch: garbage collection spares the young. */
  readonly storedAt: number;
}

/**
 * Blobs in a directory:
 *
 * - `sha256/<2 hex>/<62 hex>`: synced before they were renamed to here;
 * - `volatile/<boot id>/<64 hex>`: complete as long as the host runs, and gone after a crash of it; `sync` moves them to sha256;
 * - `ingest/<process tag>-<random>`: being received.
 *
 * Several processes may share it.
 */
export class DiskContentStore implements ContentStore {
  readonly #dir: string;
  readonly #volatileDir: string;
  readonly #syncfs: ((fd: number) => Promise<void>) | null;
  #syncing: Promise<void> | null = null;
  #syncNext: Promise<void> | null = null;

  private constructor(options: DiskContentStoreOptions) {
    this.#dir = options.dir;
    this.#volatileDir = join(options.dir, "volatile", bootId());
    this.#syncfs = options.syncfs ?? null;
  }

  /** Makes the directories and removes what interrupted ingests and volatile blobs of an earlier boot left. */
  static async open(options: DiskContentStoreOptions): Promise<DiskContentStore> {
    const store = new DiskContentStore(options);
    await store.#prepare();
    return store;
  }

  async stat(digest: string): Promise<BlobInfo | null> {
    const found = await this.#find(digest, (path) => stat(path));
    return found === null ? null : { digest, size: found.size };
  }

  async open(digest: string, range?: { offset: number; length?: number }): Promise<Readable> {
    const file = await this.openFile(digest);
    const { offset = 0, length } = range ?? {};
    try {
      const { size } = await file.stat();
      if (!inRange(offset, size) || (length !== undefined && !inRange(length, Number.MAX_SAFE_INTEGER))) {
        throw fail("INVALID", `range not satisfiable: offset ${offset}, length ${length ?? "open"} of ${size} bytes`);
      }
      const end = Math.min(size, length === undefined ? size : offset + length);
      if (end > offset) return file.createReadStream({ start: offset, end: end - 1, highWaterMark: READ_BYTES });
    } catch (e) {
      await file.close();
      throw e;
    }
    await file.close();
    return Readable.from([], { objectMode: false });
  }

  /** The blob's file, for those who read it in their own way; the caller closes it. Throws NO_SUCH_BLOB. */
  async openFile(digest: string): Promise<FileHandle> {
    const file = await this.#find(digest, (path) => open(path, "r"));
    if (file === null) throw fail("NO_SUCH_BLOB", `blob not found: ${digest}`);
    return file;
  }

  async ingest(
    stream: AsyncIterable<Uint8Array>,
    options: { expected?: string; maxBytes?: number; volatile?: boolean } = {},
  ): Promise<BlobInfo> {
    if (options.expected !== undefined) digestHex(options.expected);
    const temporary = join(this.#dir, "ingest", `${processTag()}-${randomBytes(8).toString("hex")}`);
    const file = await open(temporary, "wx", 0o644);
    try {
      let blob: BlobInfo;
      try {
        blob = await writeHashed(file, stream, options.maxBytes ?? Number.MAX_SAFE_INTEGER);
        if (options.expected !== undefined && options.expected !== blob.digest) {
          throw fail("DIGEST_MISMATCH", `digest mismatch: expected ${options.expected}, received ${blob.digest}`);
        }
        if (options.volatile !== true) await file.datasync();
      } finally {
        await file.close();
      }
      if (options.volatile === true) {
        // What is durable stays so; the young copy is not needed then.
        if (await exists(this.#durablePath(blob.digest))) await unlink(temporary);
        else await rename(temporary, this.#volatilePath(blob.digest));
      } else {
        await this.#publish(temporary, blob.digest);
        await syncDirectory(this.#fanOut(blob.digest));
        await rm(this.#volatilePath(blob.digest), { force: true });
      }
      return blob;
    } catch (e) {
      await rm(temporary, { force: true });
      throw e;
    }
  }

  /** Calls while one sync runs share the one after it, for that covers them all. */
  sync(): Promise<void> {
    if (this.#syncNext !== null) return this.#syncNext;
    if (this.#syncing === null) return this.#startSync();
    const next = this.#syncing.catch(() => {}).then(() => {
      this.#syncNext = null;
      return this.#startSync();
    });
    this.#syncNext = next;
    return next;
  }

  /** No error when there is none. Whoever reads it still can to its end. */
  async delete(digest: string): Promise<void> {
    await rm(this.#durablePath(digest), { force: true });
    await rm(this.#volatilePath(digest), { force: true });
  }

  /** Every blob, in no order, one at a time. */
  async *list(): AsyncGenerator<ListedBlob> {
    for (const hex of await readdir(this.#volatileDir)) yield* this.#listed(`sha256:${hex}`);
    for (const two of await readdir(join(this.#dir, "sha256"))) {
      for (const rest of await readdir(join(this.#dir, "sha256", two))) yield* this.#listed(`sha256:${two}${rest}`);
    }
  }

  async *#listed(digest: string): AsyncGenerator<ListedBlob> {
    const found = await this.#find(digest, (path) => stat(path));
    if (found !== null) yield { digest, size: found.size, storedAt: found.ctimeMs };
  }

  #startSync(): Promise<void> {
    const run = this.#syncVolatile().finally(() => { this.#syncing = null; });
    this.#syncing = run;
    return run;
  }

  async #syncVolatile(): Promise<void> {
    const digests = (await readdir(this.#volatileDir)).map((hex) => `sha256:${hex}`);
    if (digests.length === 0) return;
    if (this.#syncfs !== null && digests.length >= SYNCFS_FROM) {
      await using directory = await open(this.#volatileDir, "r");
      await this.#syncfs(directory.fd);
    } else {
      await Promise.all(digests.map((digest) => ifThere(syncFile(this.#volatilePath(digest)))));
    }
    for (const digest of digests) await ifThere(this.#publish(this.#volatilePath(digest), digest));
    await Promise.all([...new Set(digests.map((digest) => this.#fanOut(digest)))].map(syncDirectory));
  }

  /** Puts a complete, synced file in its durable place. */
  async #publish(file: string, digest: string): Promise<void> {
    await rename(file, this.#durablePath(digest));
  }

  /** Runs `look` on where the blob is. It may move from volatile to durable in between: so durable is tried twice. */
  async #find<T>(digest: string, look: (path: string) => Promise<T>): Promise<T | null> {
    const durable = this.#durablePath(digest);
    for (const path of [durable, this.#volatilePath(digest), durable]) {
      const found = await ifThere(look(path));
      if (found !== null) return found;
    }
    return null;
  }

  #fanOut(digest: string): string {
    return join(this.#dir, "sha256", digestHex(digest).slice(0, 2));
  }

  #durablePath(digest: string): string {
    return join(this.#fanOut(digest), digestHex(digest).slice(2));
  }

  #volatilePath(digest: string): string {
    return join(this.#volatileDir, digestHex(digest));
  }

  async #prepare(): Promise<void> {
    const root = join(this.#dir, "sha256");
    await Promise.all([mkdir(root, { recursive: true }), mkdir(this.#volatileDir, { recursive: true }),
      mkdir(join(this.#dir, "ingest"), { recursive: true })]);
    const there = new Set(await readdir(root));
    const missing = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0")).filter((two) => !there.has(two));
    for (const two of missing) mkdirSync(join(root, two), { recursive: true });
    if (missing.length > 0) {
      await syncDirectory(root);
      await syncDirectory(this.#dir);
    }
    for (const boot of await readdir(join(this.#dir, "volatile"))) {
      if (boot !== bootId()) await rm(join(this.#dir, "volatile", boot), { recursive: true, force: true });
    }
    for (const name of await readdir(join(this.#dir, "ingest"))) {
      if (!processLives(name.slice(0, name.lastIndexOf("-")))) await rm(join(this.#dir, "ingest", name), { force: true });
    }
  }
}

const inRange = (n: number, max: number): boolean => Number.isSafeInteger(n) && n >= 0 && n <= max;

async function ifThere<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return null;
    throw e;
  }
}

const exists = async (path: string): Promise<boolean> => (await ifThere(stat(path))) !== null;

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.datasync();
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, "r");
  await directory.sync();
}

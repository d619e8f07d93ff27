import { randomUUID } from "node:crypto";
import type { BlobInfo } from "@gantry/content";
import { fail } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import type { Blobs } from "./blobs.ts";

const MAX_SESSIONS = 1000;
const IDLE_MS = 3_600_000;

interface Part { readonly stream: AsyncIterable<Uint8Array>; resolve(): void; reject(e: unknown): void }

/**
 * One upload through the registry API: parts that come one after another are one ingest, hashed and looked into as they come.
 * A part that breaks off leaves what it brought; the next goes on from {@link received}. An upload lives as long as this process.
 */
export class UploadSession {
  readonly id = randomUUID();
  readonly repo: string;
  #received = 0;
  #lastUsed: number;
  #busy = false;
  /** Parts come one at a time: the next is handed over while the ingest waits for it. */
  #next = Promise.withResolvers<Part | "end" | "abort">();
  readonly #clock: Clock;
  readonly #stored: Promise<BlobInfo>;

  constructor(repo: string, blobs: Blobs, clock: Clock, maxBytes: number) {
    this.repo = repo;
    this.#clock = clock;
    this.#lastUsed = clock.now();
    this.#stored = blobs.ingestLayer(this.#bytes(), { maxBytes, volatile: true });
    // Looked at by whoever writes or finishes.
    this.#stored.catch(() => {});
  }

  get received(): number {
    return this.#received;
  }

  get idleSince(): number {
    return this.#busy ? Infinity : this.#lastUsed;
  }

  /** Takes a part in; throws what broke it. CONFLICT while another is coming in. */
  async append(stream: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#busy) throw fail("CONFLICT", "another part of this upload is coming in");
    this.#busy = true;
    try {
      const taken = new Promise<void>((resolve, reject) => this.#hand({ stream, resolve, reject }));
      await Promise.race([taken, this.#stored]);
    } finally {
      this.#busy = false;
      this.#lastUsed = this.#clock.now();
    }
  }

  /** The whole blob, stored. */
  async finish(): Promise<BlobInfo> {
    if (this.#busy) throw fail("CONFLICT", "another part of this upload is coming in");
    this.#busy = true;
    this.#hand("end");
    return this.#stored;
  }

  async abort(): Promise<void> {
    this.#hand("abort");
    await this.#stored.catch(() => {});
  }

  #hand(part: Part | "end" | "abort"): void {
    this.#next.resolve(part);
  }

  async *#bytes(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const part = await this.#next.promise;
      this.#next = Promise.withResolvers();
      if (part === "end") return;
      if (part === "abort") throw fail("NO_SUCH_UPLOAD", "the upload was cancelled");
      try {
        for await (const chunk of part.stream) {
          this.#received += chunk.length;
          yield chunk;
        }
        part.resolve();
      } catch (e) {
        part.reject(e);
      }
    }
  }
}

/** The uploads under way; those that nobody touched for an hour are dropped. */
export class Uploads implements AsyncDisposable {
  readonly #sessions = new Map<string, UploadSession>();
  readonly #blobs: Blobs;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #timer: NodeJS.Timeout;

  constructor(blobs: Blobs, clock: Clock, maxBytes: number) {
    this.#blobs = blobs;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
    this.#timer = setInterval(() => void this.dropIdle(), 60_000);
    this.#timer.unref();
  }

  get count(): number {
    return this.#sessions.size;
  }

  begin(repo: string): UploadSession {
    if (this.#sessions.size >= MAX_SESSIONS) throw fail("UNAVAILABLE", "too many uploads are under way");
    const session = new UploadSession(repo, this.#blobs, this.#clock, this.#maxBytes);
    this.#sessions.set(session.id, session);
    return session;
  }

  /** Throws NO_SUCH_UPLOAD. */
  get(repo: string, id: string): UploadSession {
    const session = this.#sessions.get(id);
    if (session === undefined || session.repo !== repo) throw fail("NO_SUCH_UPLOAD", "blob upload unknown to registry");
    return session;
  }

  /** Ends an upload. What was stored has `digest`, else DIGEST_MISMATCH; the upload is over either way. */
  async finish(session: UploadSession, digest: string): Promise<BlobInfo> {
    try {
      const info = await session.finish();
      if (info.digest !== digest) {
        this.#blobs.reject(info.digest);
        throw fail("DIGEST_MISMATCH", `provided digest did not match uploaded content: expected ${digest}, received ${info.digest}`);
      }
      return info;
    } finally {
      this.#sessions.delete(session.id);
    }
  }

  async abort(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.id);
    await session.abort();
  }

  async dropIdle(): Promise<void> {
    const limit = this.#clock.now() - IDLE_MS;
    await Promise.all([...this.#sessions.values()].filter((session) => session.idleSince <= limit).map((session) => this.abort(session)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#sessions.values()].map((session) => this.abort(session)));
  }
}

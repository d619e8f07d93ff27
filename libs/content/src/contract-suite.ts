import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { isGantryError } from "@gantry/kernel";
import type { ContentStore } from "./port.ts";

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const is = (code: string) => (e: unknown): boolean => isGantryError(e, code);

async function* pieces(...parts: (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Error) throw part;
    yield part;
  }
}

/** What every content store must do. `make` gives an empty one, disposed after each test. */
export function contentContract(name: string, make: () => Promise<{ store: ContentStore } & AsyncDisposable>): void {
  describe(`content store contract: ${name}`, () => {
    it("gives back what was stored, under its digest", async () => {
      await using subject = await make();
      const bytes = randomBytes(3_000_000);
      const blob = await subject.store.ingest(Readable.from([bytes.subarray(0, 1), bytes.subarray(1, 70_000), bytes.subarray(70_000)]));
      assert.deepEqual(blob, { digest: digestOf(bytes), size: bytes.length });
      assert.deepEqual(await subject.store.stat(blob.digest), blob);
      assert.ok(bytes.equals(await buffer(await subject.store.open(blob.digest))));
    });

    it("stores the empty blob", async () => {
      await using subject = await make();
      const blob = await subject.store.ingest(pieces());
      assert.deepEqual(blob, { digest: digestOf(Buffer.alloc(0)), size: 0 });
      assert.equal((await buffer(await subject.store.open(blob.digest))).length, 0);
    });

    it("knows what it has not", async () => {
      await using subject = await make();
      const digest = digestOf(Buffer.from("nowhere"));
      assert.equal(await subject.store.stat(digest), null);
      await assert.rejects(subject.store.open(digest), is("NO_SUCH_BLOB"));
      await assert.rejects(subject.store.open(digest, { offset: 0, length: 0 }), is("NO_SUCH_BLOB"));
    });

    it("opens ranges", async () => {
      await using subject = await make();
      const bytes = Buffer.from("0123456789");
      const { digest } = await subject.store.ingest(pieces(bytes));
      const read = async (range: { offset: number; length?: number }) => String(await buffer(await subject.store.open(digest, range)));
      assert.equal(await read({ offset: 3 }), "3456789");
      assert.equal(await read({ offset: 3, length: 4 }), "3456");
      assert.equal(await read({ offset: 0, length: 1 }), "0");
      assert.equal(await read({ offset: 8, length: 100 }), "89");
      assert.equal(await read({ offset: 4, length: 0 }), "");
      await assert.rejects(subject.store.open(digest, { offset: 11 }), is("INVALID"));
    });

    it("refuses a stream of another digest, and keeps nothing of it", async () => {
      await using subject = await make();
      const bytes = Buffer.from("not what you asked for");
      const expected = digestOf(Buffer.from("what you asked for"));
      await assert.rejects(subject.store.ingest(pieces(bytes), { expected }), is("DIGEST_MISMATCH"));
      assert.equal(await subject.store.stat(expected), null);
      assert.equal(await subject.store.stat(digestOf(bytes)), null);
    });

    it("takes a stream of the digest expected", async () => {
      await using subject = await make();
      const bytes = Buffer.from("as expected");
      assert.equal((await subject.store.ingest(pieces(bytes), { expected: digestOf(bytes) })).digest, digestOf(bytes));
    });

    it("leaves nothing visible of an interrupted ingest, and throws its error", async () => {
      await using subject = await make();
      const first = randomBytes(2_000_000);
      const broken = subject.store.ingest(pieces(first, new Error("the line broke")), { expected: digestOf(first) });
      await assert.rejects(broken, (e: Error) => /the line broke/.test(e.message));
      assert.equal(await subject.store.stat(digestOf(first)), null);
    });

    it("bounds what it takes", async () => {
      await using subject = await make();
      await assert.rejects(subject.store.ingest(pieces(randomBytes(600), randomBytes(600)), { maxBytes: 1000 }), is("TOO_LARGE"));
      assert.equal((await subject.store.ingest(pieces(randomBytes(1000)), { maxBytes: 1000 })).size, 1000);
    });

    it("takes the same blob many times, also at once", async () => {
      await using subject = await make();
      const bytes = randomBytes(100_000);
      const all = await Promise.all(Array.from({ length: 8 }, (_, i) => subject.store.ingest(pieces(bytes), { volatile: i % 2 === 0 })));
      assert.ok(all.every((blob) => blob.digest === digestOf(bytes)));
      await subject.store.sync();
      assert.ok(bytes.equals(await buffer(await subject.store.open(digestOf(bytes)))));
    });

    it("shows volatile blobs at once, and keeps them with sync", async () => {
      await using subject = await make();
      const blobs = Array.from({ length: 12 }, (_, i) => Buffer.from(`volatile ${i}`));
      for (const bytes of blobs) await subject.store.ingest(pieces(bytes), { volatile: true });
      for (const bytes of blobs) assert.equal(String(await buffer(await subject.store.open(digestOf(bytes)))), String(bytes));
      await Promise.all([subject.store.sync(), subject.store.sync(), subject.store.sync()]);
      for (const bytes of blobs) assert.equal(String(await buffer(await subject.store.open(digestOf(bytes)))), String(bytes));
    });

    it("refuses what is no digest", async () => {
      await using subject = await make();
      for (const digest of ["", "sha256:", "sha256:../../etc/passwd", `sha256:${"A".repeat(64)}`, `sha512:${"a".repeat(64)}`]) {
        await assert.rejects(subject.store.stat(digest), is("INVALID"));
        await assert.rejects(subject.store.open(digest), is("INVALID"));
        await assert.rejects(subject.store.ingest(pieces(), { expected: digest }), is("INVALID"));
      }
    });
  });
}

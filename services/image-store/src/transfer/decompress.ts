import { spawn } from "node:child_process";
import { Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { fail } from "@gantry/contracts";
import { sniffCompression } from "@gantry/oci";

const HEAD_BYTES = 8;

/** The stream with its first bytes looked at. Nothing is lost of it. */
export async function peek(stream: AsyncIterable<Uint8Array>): Promise<{ head: Uint8Array; all: AsyncIterable<Uint8Array> }> {
  const iterator = stream[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let size = 0;
  while (size < HEAD_BYTES) {
    const { done, value } = await iterator.next();
    if (done === true) break;
    first.push(value);
    size += value.length;
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* first;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  };
  return { head: Buffer.concat(first), all: all() };
}

/** The stream uncompressed, whichever of gzip, zstd, bzip2 and xz it is in; what is in none of them passes as it is. */
export async function decompressed(stream: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const { head, all } = await peek(stream);
  const compression = sniffCompression(head);
  switch (compression) {
    case "none": return all;
    case "gzip": return through(all, createGunzip({ chunkSize: 256 * 1024 }), "gzip");
    case "zstd": return through(all, createZstdDecompress({ chunkSize: 256 * 1024 }), "zstd");
    case "bzip2": return program(all, "bzip2");
    case "xz": return program(all, "xz");
  }
}

async function* through(stream: AsyncIterable<Uint8Array>, transform: Transform, name: string): AsyncGenerator<Uint8Array> {
  const fed = pipeline(Readable.from(stream, { objectMode: false, highWaterMark: 1 << 20 }), transform);
  fed.catch(() => {});
  try {
    for await (const chunk of transform as AsyncIterable<Uint8Array>) yield chunk;
    await fed;
  } catch (e) {
    throw broken(e, name);
  } finally {
    transform.destroy();
  }
}

/** Node has no bzip2 and xz: the programs of Debian's packages bzip2 and xz-utils do it. */
async function* program(stream: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const child = spawn(name, ["-dc"], { stdio: ["pipe", "pipe", "ignore"] });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", (cause) => reject(fail("INTERNAL", `cannot start ${name}, which unpacks this archive`, { cause })));
    child.once("close", (code) => resolve(code));
  });
  exited.catch(() => {});
  const fed = pipeline(Readable.from(stream, { objectMode: false, highWaterMark: 1 << 20 }), child.stdin);
  fed.catch(() => {});
  try {
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) yield chunk;
    if (await exited !== 0) throw fail("INVALID", `invalid ${name} data`);
    await fed;
  } finally {
    child.kill();
  }
}

/** Errors of the source stay what they are; those of the decompressor are the sender's fault. */
function broken(e: unknown, name: string): unknown {
  const code = (e as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^Z_|^ZSTD_/.test(code) ? fail("INVALID", `invalid ${name} data`, { cause: e }) : e;
}

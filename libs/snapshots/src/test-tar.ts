/** Archives for tests: made of entries, and read back to entries. */
import { createHash } from "node:crypto";
import { padding, type TarEntry } from "./tar/entry.ts";
import { formatHeader } from "./tar/header.ts";
import { TarParser } from "./tar/parser.ts";

export type Made = Partial<TarEntry> & { readonly content?: Buffer | string };
export type Listed = Omit<TarEntry, "size"> & { readonly content: Buffer };

export function makeTar(entries: readonly Made[]): Buffer {
  const parts: Buffer[] = [];
  for (const { content = "", ...fields } of entries) {
    const bytes = Buffer.from(content);
    const entry: TarEntry = {
      type: "file", name: "", linkName: "", uid: 0, gid: 0, mtimeNs: 0n, major: 0, minor: 0, xattrs: [],
      mode: fields.type === "directory" ? 0o755 : 0o644, size: bytes.length, ...fields,
    };
    parts.push(formatHeader(entry), bytes, Buffer.alloc(padding(bytes.length)));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export async function listTar(tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Listed[]> {
  const listed: { entry: TarEntry; content: Buffer[] }[] = [];
  const parser = new TarParser({
    entry: (entry) => void listed.push({ entry, content: [] }),
    data: (chunk) => void listed.at(-1)!.content.push(Buffer.from(chunk)),
    end() {},
  });
  for await (const chunk of tar) parser.push(Buffer.from(chunk));
  parser.finish();
  return listed.map(({ entry: { size: _, ...entry }, content }) => ({ ...entry, content: Buffer.concat(content) }));
}

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** In pieces of odd sizes, as a network delivers. */
export async function* inPieces(bytes: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

import { fail } from "@gantry/contracts";
import type { Heredoc } from "@gantry/dockerfile";
import { hash } from "node:crypto";
import { sniffCompression } from "@gantry/oci";
import { TarParser } from "@gantry/snapshots";
import { type ArchiveBytes, bytesWithin, fileBytes, PieceReader } from "../context/archive-bytes.ts";
import { decompress, peek } from "../context/decompress.ts";
import { loadArchive } from "../context/load.ts";
import type { SourceEntry } from "../context/tar-scan.ts";
import { binary, type ContentReader, type SourceNode } from "../context/tree.ts";
import type { CopySource } from "../domain/copy-sources.ts";
import { download, fileNameOf } from "./download.ts";

const HEAD = 512;

/** Content of an archive's entries, by where they lie in it. */
export class ArchiveReader implements ContentReader, AsyncDisposable {
  readonly #pieces: PieceReader;

  constructor({ bytes, end }: { bytes: ArchiveBytes; end: number }) {
    this.#pieces = new PieceReader(bytes, end);
  }

  read(node: SourceNode): AsyncIterable<Buffer> {
    return this.#pieces.read(node.entry.offset, node.entry.size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces[Symbol.asyncDispose]();
  }
}

const fileEntry = (name: string, fields: Partial<SourceEntry>): SourceEntry => ({
  type: "file", name, linkName: "", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 0n, major: 0, minor: 0, xattrs: [], sha256: "", offset: 0, inode: "", ...fields,
});

/** A here-document as a file to copy. */
export function heredocSource(doc: Heredoc, nowNs: bigint): CopySource {
  const bytes = Buffer.from(doc.content);
  const name = binary(doc.name);
  const sha256 = bytes.length === 0 ? "" : hash("sha256", bytes, "hex");
  return {
    name,
    node: { path: name, entry: fileEntry(name, { size: bytes.length, mtimeNs: nowNs, sha256 }), children: new Map() },
    content: { read: async function* read() { yield bytes; } },
  };
}

/** What ADD fetches from a URL: a file of mode 0600. The spool is deleted with `scope`. */
export async function remoteSource(url: string, destination: string, checksum: string, spoolDir: string, scope: AsyncDisposableStack, signal: AbortSignal): Promise<CopySource> {
  const fetched = scope.use(await download(url, { spoolDir, checksum, signal }));
  const name = binary(fileNameOf(url));
  if (name === "" && destination.endsWith("/")) throw fail("BUILD_FAILED", `ADD failed: cannot determine filename for source ${url}`);
  const { size, sha256, mtimeNs, path } = fetched;
  const content = scope.use(new ArchiveReader({ bytes: fileBytes(path), end: size }));
  return { name, content, node: { path: name, entry: fileEntry(name, { mode: 0o600, size, mtimeNs, sha256 }), children: new Map() } };
}

/** A file that ADD extracts as the archive that it is; any other as it was. */
export async function extracted(source: CopySource, bytes: ArchiveBytes, spoolDir: string, scope: AsyncDisposableStack): Promise<CopySource> {
  const { entry } = source.node;
  if (entry.type !== "file" || entry.size < HEAD / 16 || !(await isArchive(source))) return source;
  const archive = scope.use(await loadArchive(source.content.read(source.node), bytesWithin(bytes, entry.offset), spoolDir));
  const content = scope.use(new ArchiveReader({ bytes: archive.bytes, end: archive.size }));
  return { node: archive.tree.root, name: source.name, content, asIs: true };
}

/** As Docker: what begins with a tar header, after any compression is undone. */
async function isArchive(source: CopySource): Promise<boolean> {
  const { head, all } = await peek(source.content.read(source.node), HEAD);
  const compression = sniffCompression(head);
  if (compression === "none") {
    await all.return(undefined);
    return isHeader(head);
  }
  try {
    const inner = await peek(decompress(all, compression), HEAD);
    await inner.all.return(undefined);
    return isHeader(inner.head);
  } catch (e) {
    if ((e as { code?: unknown }).code === "INVALID") return false;
    throw e;
  }
}

function isHeader(head: Buffer): boolean {
  if (head.length < HEAD || head.subarray(0, HEAD).every((byte) => byte === 0)) return false;
  try {
    new TarParser({ entry() {}, data() {}, end() {} }).push(head.subarray(0, HEAD));
    return true;
  } catch {
    return false;
  }
}

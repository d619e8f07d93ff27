import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fail } from "@gantry/contracts";
import { newId } from "@gantry/kernel";
import { request } from "undici";

const MAX_BYTES = 16 * 1024 ** 3;
const MAX_REDIRECTS = 10;
const TIMEOUT_MS = 300_000;

export interface Downloaded extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
  /** From Last-Modified; 0 without. */
  readonly mtimeNs: bigint;
}

export const isUrl = (source: string): boolean => /^https?:\/\//.test(source);
export const isGitUrl = (source: string): boolean => /^(?:git@|git:\/\/|github\.com\/)/.test(source) || (isUrl(source) && /\.git(?:#|$)/.test(source));

/** The last part of the URL's path. */
export function fileNameOf(url: string): string {
  const path = new URL(url).pathname;
  try {
    return decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)).replaceAll("/", "_");
  } catch {
    return path.slice(path.lastIndexOf("/") + 1);
  }
}

/** Fetches a file to a spool, which disposal deletes. `checksum`: `sha256:…`, or empty. */
export async function download(url: string, options: { spoolDir: string; checksum: string; signal: AbortSignal }): Promise<Downloaded> {
  const { checksum, signal } = options;
  if (checksum !== "" && !/^sha256:[0-9a-f]{64}$/.test(checksum)) throw fail("BUILD_FAILED", `ADD failed: unsupported checksum ${JSON.stringify(checksum)}: it must be sha256:<64 hex digits>`);
  const answer = await get(url, signal);
  const path = join(options.spoolDir, `${newId().slice(0, 16)}.download`);
  const remove = () => rm(path, { force: true });
  const sum = createHash("sha256");
  let size = 0;
  await mkdir(options.spoolDir, { recursive: true });
  try {
    const counted = async function* counted(): AsyncGenerator<Buffer> {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > MAX_BYTES) throw fail("TOO_LARGE", `ADD failed: ${url} is larger than ${MAX_BYTES} bytes`);
        sum.update(chunk);
        yield chunk;
      }
    };
    await pipeline(Readable.from(counted(), { objectMode: false }), createWriteStream(path, { mode: 0o600 }), { signal });
    const sha256 = sum.digest("hex");
    if (checksum !== "" && checksum !== `sha256:${sha256}`) throw fail("BUILD_FAILED", `ADD failed: digest mismatch sha256:${sha256}: ${checksum}`);
    const modified = Date.parse(String(answer.headers["last-modified"] ?? ""));
    return { path, size, sha256: size === 0 ? "" : sha256, mtimeNs: Number.isNaN(modified) ? 0n : BigInt(modified) * 1_000_000n, [Symbol.asyncDispose]: remove };
  } catch (e) {
    await remove();
    throw e;
  }
}

async function get(url: string, signal: AbortSignal) {
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await request(at, { signal, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, headers: { "user-agent": "gantry" } }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw fail("BUILD_FAILED", `ADD failed: Get ${JSON.stringify(at)}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    });
    const location = answer.headers["location"];
    if (answer.statusCode >= 300 && answer.statusCode < 400 && typeof location === "string") {
      await answer.body.dump();
      at = new URL(location, at).href;
      if (!isUrl(at)) throw fail("BUILD_FAILED", `ADD failed: ${url} leads to ${at}, which is neither http nor https`);
      continue;
    }
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw fail("BUILD_FAILED", `ADD failed: failed to GET ${url} with status ${answer.statusCode} ${answer.statusText}`);
    }
    return answer;
  }
  throw fail("BUILD_FAILED", `ADD failed: ${url} redirects more than ${MAX_REDIRECTS} times`);
}

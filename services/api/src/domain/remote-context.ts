import { fail } from "@gantry/contracts";

/** Bytes that {@link sniffContext} wants to see, where there are as many. */
export const SNIFF_BYTES = 512;

const MAGIC: readonly { at: number; bytes: readonly number[] }[] = [
  { at: 0, bytes: [0x1f, 0x8b] },
  { at: 0, bytes: [0x42, 0x5a, 0x68] },
  { at: 0, bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { at: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { at: 257, bytes: [0x75, 0x73, 0x74, 0x61, 0x72] },
];

/** Whether a download is an archive (gzip, bzip2, xz, zstd or plain tar) or a Dockerfile, by its first bytes. */
export function sniffContext(head: Uint8Array): "archive" | "dockerfile" {
  return MAGIC.some(({ at, bytes }) => bytes.every((byte, i) => head[at + i] === byte)) ? "archive" : "dockerfile";
}

/** Checks `remote`. Throws INVALID for what is no URL, NOT_IMPLEMENTED for a git repository. */
export function checkRemote(remote: string): URL {
  if (/^(git:\/\/|git@|ssh:\/\/|github\.com\/)/.test(remote) || /^https?:\/\/[^?#]*\.git(#.*)?$/.test(remote)) {
    throw fail("NOT_IMPLEMENTED", "building from a git repository is not implemented: clone it and build its directory");
  }
  const url = URL.canParse(remote) ? new URL(remote) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) throw fail("INVALID", `remote context must be an http(s) URL of a tar archive or of a Dockerfile: "${remote.slice(0, 128)}"`);
  return url;
}

import type { NativeFs } from "@gantry/runtime";
import { readTree, S_IFMT, S_IFREG } from "./tree-reader.ts";

/** Content of regular files, each file once. */
export async function bytesOfTree(native: NativeFs, fd: number): Promise<number> {
  let bytes = 0;
  const seen = new Set<string>();
  for await (const entry of readTree(native, fd, { xattrs: false })) {
    if ((entry.mode & S_IFMT) !== S_IFREG) continue;
    if (entry.nlink > 1) {
      if (seen.has(entry.file)) continue;
      seen.add(entry.file);
    }
    bytes += entry.size;
  }
  return bytes;
}

import { createReadStream, createWriteStream } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { extract, pack } from "tar-stream";
import type { Entry } from "../tar.ts";

/** Packages that the node binary is linked against, beyond Debian's minimum. */
export const NODE_LIBRARIES = ["libatomic1", "libgcc-s1", "libstdc++6"];

const USER = "node:x:1000:1000::/home/node:/bin/bash\n";
const GROUP = "node:x:1000:\n";

/** Writes the layer that puts this process's own node binary, and a user `node` (1000), on top of the Debian layer in `below`. */
export async function nodeLayer(file: string, below: string): Promise<void> {
  const { passwd, group } = await accounts(below);
  const binary = process.execPath;
  const { size, mtime } = await stat(binary);
  const tar = pack();
  const fill = async () => {
    const add = (header: Entry, content?: string) => tar.entry({ ...header, uid: header.uid ?? 0, gid: header.gid ?? 0, mtime }, content ?? "");
    for (const dir of ["usr/", "usr/local/", "usr/local/bin/"]) add({ name: dir, type: "directory", mode: 0o755 });
    add({ name: "home/node/", type: "directory", mode: 0o755, uid: 1000, gid: 1000 });
    await new Promise<void>((resolve, reject) => {
      const entry = tar.entry({ name: "usr/local/bin/node", size, mode: 0o755, uid: 0, gid: 0, mtime }, (e) => (e ? reject(e) : resolve()));
      createReadStream(binary, { highWaterMark: 1 << 20 }).on("error", reject).pipe(entry);
    });
    add({ name: "etc/passwd", mode: 0o644 }, passwd + USER);
    add({ name: "etc/group", mode: 0o644 }, group + GROUP);
    add({ name: "usr/local/bin/nodejs", type: "symlink", linkname: "node", mode: 0o777 });
    tar.finalize();
  };
  await Promise.all([pipeline(tar, createWriteStream(`${file}.new`)), fill()]);
  await rename(`${file}.new`, file);
}

/** /etc/passwd and /etc/group of a layer tar. */
async function accounts(tar: string): Promise<{ passwd: string; group: string }> {
  const found = { passwd: "", group: "" };
  const reader = extract();
  createReadStream(tar, { highWaterMark: 1 << 20 }).on("error", (e) => reader.destroy(e)).pipe(reader);
  for await (const entry of reader) {
    const name = entry.header.name.replace(/^\.?\//, "");
    const parts: Buffer[] = [];
    for await (const chunk of entry) if (name === "etc/passwd" || name === "etc/group") parts.push(chunk as Buffer);
    if (name === "etc/passwd") found.passwd = Buffer.concat(parts).toString();
    if (name === "etc/group") found.group = Buffer.concat(parts).toString();
  }
  return found;
}

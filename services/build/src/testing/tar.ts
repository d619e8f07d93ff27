import { readFileSync } from "node:fs";
import { formatHeader, type TarEntry } from "@gantry/snapshots";

/** A file's text, or any entry; a name that ends with a slash is a directory. */
export type Files = Readonly<Record<string, string | (Partial<TarEntry> & { readonly data?: Buffer })>>;

/** A tar of these entries, in order. */
export function tarOf(files: Files): Buffer {
  const parts: Buffer[] = [];
  for (const [name, file] of Object.entries(files)) {
    const { data = Buffer.alloc(0), ...fields } = typeof file === "string" ? { data: Buffer.from(file) } : file;
    const directory = name.endsWith("/");
    parts.push(formatHeader({
      type: directory ? "directory" : "file", name: Buffer.from(name).toString("latin1"), linkName: "", mode: directory ? 0o755 : 0o644, uid: 0, gid: 0, size: data.length,
      mtimeNs: 1_600_000_000_000_000_000n, major: 0, minor: 0, xattrs: [], ...fields,
    }), data, Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export async function* inChunks(bytes: Buffer, size = 100_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const APPLETS = [
  "sh", "ls", "cat", "echo", "date", "true", "false", "mkdir", "rm", "touch", "sleep", "env", "id", "stat", "hostname", "find", "sort", "chmod", "ln", "grep", "kill", "awk", "sed", "dd",
];

/** The layer of a small base image: Debian's busybox-static. */
export function busyboxLayer(): Buffer {
  return tarOf({
    "bin/": {}, "etc/": {}, "home/": {}, "tmp/": { mode: 0o1777 },
    "bin/busybox": { data: readFileSync("/bin/busybox"), mode: 0o755 },
    ...Object.fromEntries(APPLETS.map((name) => [`bin/${name}`, { type: "symlink", linkName: "busybox" } as const])),
    "etc/group": "root:x:0:\nnode:x:1001:\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnode:x:1000:1001::/home:/bin/sh\n",
    "lib": { type: "symlink", linkName: "usr/lib" }, "usr/": {}, "usr/lib/": {},
  });
}

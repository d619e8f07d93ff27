import { execFileSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import type { Entry } from "../tar.ts";
import { fail } from "@gantry/contracts";

const BUSYBOX = "/bin/busybox";

const FILES: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
  "etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "hosts: files dns\n",
};
const DIRECTORIES = ["bin", "dev", "etc", "home", "lib", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "var", "var/spool", "var/www"];

/** Writes the root file system of Debian's busybox-static as a layer tar. The same package gives the same bytes. */
export async function busyboxLayer(file: string): Promise<void> {
  let binary: Buffer;
  try {
    binary = await readFile(BUSYBOX);
  } catch (e) {
    throw fail("NOT_FOUND", `${BUSYBOX} is not there: install Debian's busybox-static`, { cause: e });
  }
  const applets = execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).split("\n").filter((name) => name !== "" && name !== "busybox").sort();
  const tar = pack();
  const mtime = new Date(0);
  const add = (header: Entry, content?: string | Buffer) => tar.entry({ ...header, uid: header.uid ?? 0, gid: header.gid ?? 0, mtime }, content ?? "");
  for (const dir of DIRECTORIES) add({ name: `${dir}/`, type: "directory", mode: dir === "tmp" ? 0o1777 : dir === "root" ? 0o700 : 0o755 });
  for (const [name, text] of Object.entries(FILES)) add({ name, mode: 0o644 }, text);
  add({ name: "bin/busybox", mode: 0o755 }, binary);
  for (const name of applets) add({ name: `bin/${name}`, type: "link", linkname: "bin/busybox", mode: 0o755 });
  add({ name: "usr/bin/env", type: "link", linkname: "bin/busybox", mode: 0o755 });
  tar.finalize();
  await pipeline(tar, createWriteStream(`${file}.new`));
  await rename(`${file}.new`, file);
}

import { createReadStream } from "node:fs";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import { archiveBytes, type Entry } from "../tar.ts";
import { fail } from "@gantry/contracts";
import { IgnoreMatcher } from "@gantry/dockerfile";
import { errnoOf } from "@gantry/kernel";

/** The build context in `dir` as a tar, without what .dockerignore names; the Dockerfile and the ignore file are always sent. */
export async function contextTar(dir: string, dockerfile: string): Promise<AsyncIterable<Uint8Array>> {
  const info = await lstat(dir).catch((e: unknown) => { throw fail("INVALID", `unable to prepare context: path "${dir}" not found`, { cause: e }); });
  if (!info.isDirectory()) throw fail("INVALID", `unable to prepare context: "${dir}" is not a directory`);
  await lstat(join(dir, dockerfile)).catch((e: unknown) => {
    throw fail("INVALID", `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${join(dir, dockerfile)}: no such file or directory`, { cause: e });
  });
  const matcher = await ignoreMatcher(dir);
  const always = new Set([dockerfile, ".dockerignore"]);
  const tar = pack();
  const walk = async (path: string): Promise<void> => {
    for (const name of (await readdir(join(dir, path))).sort()) {
      const at = path === "" ? name : `${path}/${name}`;
      const full = join(dir, at);
      const stat = await lstat(full);
      const ignored = matcher.ignores(at) && !always.has(at);
      const header: Entry = { name: at, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtime };
      if (stat.isDirectory()) {
        if (!ignored) tar.entry({ ...header, name: `${at}/`, type: "directory" }, "");
        await walk(at); // a `!` pattern may take back what lies beneath
      } else if (ignored) {
        continue;
      } else if (stat.isSymbolicLink()) {
        tar.entry({ ...header, type: "symlink", linkname: await readlink(full) }, "");
      } else if (stat.isFile()) {
        await new Promise<void>((resolve, reject) => {
          const entry = tar.entry({ ...header, size: stat.size }, (e) => (e ? reject(e) : resolve()));
          if (stat.size === 0) entry.end(null);
          else createReadStream(full, { end: stat.size - 1 }).on("error", reject).pipe(entry);
        });
      }
    }
  };
  walk("").then(() => tar.finalize(), (e: unknown) => tar.destroy(e instanceof Error ? e : new Error(String(e))));
  return archiveBytes(tar);
}

async function ignoreMatcher(dir: string): Promise<IgnoreMatcher> {
  try {
    return IgnoreMatcher.parse(await readFile(join(dir, ".dockerignore"), "utf8"));
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return new IgnoreMatcher([]);
    throw e;
  }
}

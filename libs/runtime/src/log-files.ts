import { type FileHandle, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@gantry/kernel";

/** One file of a log, open: it can be read to its end whatever is renamed or removed meanwhile. */
export interface LogFile { readonly inode: bigint; readonly handle: FileHandle }

const NAME = /^log(?:\.([1-9][0-9]{0,8}))?$/;

/** The files of the log in `dir` as they are now, oldest first: `log.2`, `log.1`, `log`. */
export async function openLogFiles(dir: string): Promise<LogFile[]> {
  const numbers = (await readdir(dir)).map((name) => NAME.exec(name)).filter((match) => match !== null).map((match) => Number(match[1] ?? 0));
  const highest = Math.max(0, ...numbers);
  const files: LogFile[] = [];
  try {
    // From the newest up: a file that is renamed meanwhile comes twice, and none is passed over.
    for (let n = 0; ; n++) {
      const handle = await open(join(dir, n === 0 ? "log" : `log.${n}`), "r").catch((e: unknown) => {
        if (errnoOf(e) === "ENOENT") return null;
        throw e;
      });
      if (handle === null) {
        if (n <= highest) continue;
        return files.reverse();
      }
      const inode = await inodeOf(handle);
      if (files.some((file) => file.inode === inode)) await handle.close();
      else files.push({ inode, handle });
    }
  } catch (e) {
    await closeAll(files);
    throw e;
  }
}

/** Those that came after `last`, oldest first; `last` itself being gone, all that there are. */
export async function openLogFilesAfter(dir: string, last: bigint): Promise<LogFile[]> {
  const files = await openLogFiles(dir);
  const at = files.findIndex(({ inode }) => inode === last);
  await closeAll(files.slice(0, at + 1));
  return files.slice(at + 1);
}

export async function closeAll(files: readonly LogFile[]): Promise<void> {
  await Promise.all(files.map(({ handle }) => handle.close()));
}

async function inodeOf(handle: FileHandle): Promise<bigint> {
  return (await handle.stat({ bigint: true })).ino;
}

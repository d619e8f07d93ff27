import { chmod, chown, lstat, rename, unlink } from "node:fs/promises";
import { connect, type ListenOptions, type Server } from "node:net";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";

export interface SocketFile {
  readonly path: string;
  readonly mode: number;
  /** null: as the process has it. */
  readonly gid: number | null;
}

/**
 * Binds a server to a socket file; a file that nobody serves any more is replaced. It is bound under another name first, so that
 * it never stands there with the wrong mode. Throws CONFLICT where a live server has it. Returns how to remove it.
 */
export async function bindSocketFile(server: Server, { path, mode, gid }: SocketFile): Promise<() => Promise<void>> {
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isSocket()) throw fail("CONFLICT", `${path} exists and is not a socket`);
  if (there !== null && await isServed(path)) throw fail("CONFLICT", `another server is listening on unix:${path}`);
  const temporary = `${path}.${process.pid}`;
  await unlinkIfThere(temporary);
  await bind(server, { path: temporary });
  try {
    await chmod(temporary, mode);
    if (gid !== null) await chown(temporary, -1, gid);
    await rename(temporary, path);
  } catch (error) {
    await new Promise((resolve) => server.close(resolve));
    throw error;
  }
  const { ino } = await lstat(path);
  return async () => {
    const now = await lstat(path).catch(() => null);
    if (now?.ino === ino) await unlinkIfThere(path);
  };
}

/** Resolves when the server listens; rejects with why it cannot. */
export function bind(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => { server.off("error", reject); resolve(); });
  });
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect({ path });
    probe.once("connect", () => { probe.destroy(); resolve(true); });
    probe.once("error", (error) => {
      const code = errnoOf(error);
      if (code === "ENOENT" || code === "ECONNREFUSED") resolve(false);
      else reject(fail("CONFLICT", `cannot use ${path} as a socket: ${error.message}`, { cause: error }));
    });
  });
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => { if (errnoOf(error) !== "ENOENT") throw error; });
}

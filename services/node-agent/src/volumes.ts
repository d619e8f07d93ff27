import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf, type Logger } from "@gantry/kernel";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;
const TRASH = ".trash-";

/** Local volumes: `<state>/volumes/<name>/_data`. */
export class Volumes {
  readonly #root: string;
  readonly #logger: Logger;

  constructor(root: string, logger: Logger) {
    this.#root = root;
    this.#logger = logger;
  }

  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o701 });
    for (const name of await readdir(this.#root)) if (name.startsWith(TRASH)) this.#delete(join(this.#root, name));
  }

  path(name: string): string {
    if (!NAME.test(name)) throw fail("INVALID", `invalid volume name: ${name}`);
    return join(this.#root, name, "_data");
  }

  /** Its data's path, and whether it was made now. */
  async ensure(name: string): Promise<{ path: string; made: boolean }> {
    const path = this.path(name);
    await mkdir(join(this.#root, name), { recursive: true, mode: 0o701 });
    try {
      await mkdir(path, { mode: 0o755 });
      return { path, made: true };
    } catch (e) {
      if (errnoOf(e) !== "EEXIST") throw e;
      return { path, made: false };
    }
  }

  async isEmpty(name: string): Promise<boolean> {
    return (await readdir(this.path(name))).length === 0;
  }

  /** Out of the way at once, deleted in the background. NO_SUCH_VOLUME. */
  async remove(name: string): Promise<void> {
    this.path(name);
    const from = join(this.#root, name);
    const trash = join(this.#root, `${TRASH}${name}-${process.hrtime.bigint()}`);
    try {
      await lstat(from);
      await rename(from, trash);
    } catch (e) {
      if (errnoOf(e) === "ENOENT") throw fail("NO_SUCH_VOLUME", `get ${name}: no such volume`);
      throw e;
    }
    this.#delete(trash);
  }

  #delete(path: string): void {
    rm(path, { recursive: true, force: true }).catch((e: unknown) => this.#logger.warn({ path, err: e }, "could not delete a volume's data; tried again at the next start"));
  }
}

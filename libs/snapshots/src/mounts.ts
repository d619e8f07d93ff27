import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, processLives, processTag, type Logger } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import type { OverlayRootfs } from "./port.ts";

interface Mounted { readonly path: string; users: number; readonly ready: Promise<void> }

/** Mounts of this process beneath `m/`. Users of the same snapshot share one mount. */
export class Mounts implements AsyncDisposable {
  readonly #dir: string;
  readonly #native: NativeFs;
  readonly #logger: Logger;
  readonly #mounted = new Map<string, Mounted>();
  /** Unmounts under way: the same upper is not mounted again before. */
  readonly #leaving = new Map<string, Promise<void>>();
  #count = 0;

  constructor(stateDir: string, native: NativeFs, logger: Logger) {
    this.#dir = join(stateDir, "m");
    this.#native = native;
    this.#logger = logger;
  }

  /** `id` names the snapshot and the way it is mounted; `rootfs` is asked only for the first user. */
  async acquire(id: string, rootfs: () => OverlayRootfs): Promise<AsyncDisposable & { readonly path: string }> {
    let mounted = this.#mounted.get(id);
    if (mounted === undefined) {
      const path = join(this.#dir, `${processTag()}-${this.#count++}`);
      mkdirSync(path);
      mounted = { path, users: 0, ready: this.#mount(id, rootfs, path) };
      this.#mounted.set(id, mounted);
    }
    mounted.users++;
    const mine = mounted;
    try {
      await mine.ready;
    } catch (e) {
      this.#forget(id, mine);
      throw e;
    }
    let released = false;
    return {
      path: mine.path,
      [Symbol.asyncDispose]: async () => {
        if (released) return;
        released = true;
        if (--mine.users > 0) return;
        this.#forget(id, mine);
        const leaving = this.#unmount(mine.path).finally(() => this.#leaving.delete(id));
        this.#leaving.set(id, leaving);
        await leaving;
      },
    };
  }

  /** Whether this process has a mount whose id starts so. */
  uses(prefix: string): boolean {
    return [...this.#mounted.keys()].some((id) => id.startsWith(prefix));
  }

  async #mount(id: string, rootfs: () => OverlayRootfs, path: string): Promise<void> {
    try {
      await this.#leaving.get(id)?.catch(() => {});
      await this.#native.mountOverlay(rootfs(), path);
    } catch (e) {
      rmdirSync(path);
      throw e;
    }
  }

  #forget(id: string, mounted: Mounted): void {
    if (this.#mounted.get(id) === mounted) this.#mounted.delete(id);
  }

  async #unmount(path: string): Promise<void> {
    try {
      await this.#native.unmount(path, false);
    } catch (e) {
      const code = errnoOf(e);
      // Somebody still stands in it: out of sight at once, gone when they leave.
      if (code === "EBUSY") await this.#native.unmount(path, true);
      else if (code !== "EINVAL" && code !== "ENOENT") throw e;
    }
    removeMountPoint(path);
  }

  /** Unmounts what dead processes left. */
  async sweep(): Promise<void> {
    for (const name of readdirSync(this.#dir)) {
      if (processLives(name.slice(0, name.lastIndexOf("-")))) continue;
      await this.#unmount(join(this.#dir, name)).catch((e: unknown) => {
        this.#logger.warn({ path: join(this.#dir, name), error: describeError(e) }, "cannot unmount a stale mount");
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, mounted] of this.#mounted) {
      this.#mounted.delete(id);
      await mounted.ready.then(() => this.#unmount(mounted.path), () => {});
    }
  }
}

function removeMountPoint(path: string): void {
  try {
    rmdirSync(path);
  } catch (e) {
    if (errnoOf(e) !== "ENOENT" && errnoOf(e) !== "EBUSY") throw e;
  }
}

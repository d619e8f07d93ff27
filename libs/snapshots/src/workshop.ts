import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, processLives, processTag, type Logger } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { readRecord, type LayerRecord } from "./layout.ts";

/** `t/`: what is being made, and what is being deleted. */
export class Workshop {
  readonly #dir: string;
  readonly #native: NativeFs;
  readonly #logger: Logger;
  #deleting: Promise<void> = Promise.resolve();

  constructor(stateDir: string, native: NativeFs, logger: Logger) {
    this.#dir = join(stateDir, "t");
    this.#native = native;
    this.#logger = logger;
  }

  /** A new path for something to be made at and then renamed to its place. */
  newPath(): string {
    return join(this.#dir, `b-${processTag()}-${randomBytes(6).toString("hex")}`);
  }

  /** Renames a directory away at once and deletes it in the background. False when there is none. */
  discard(path: string): boolean {
    const trash = `x-${randomBytes(6).toString("hex")}`;
    try {
      renameSync(path, join(this.#dir, trash));
    } catch (e) {
      if (errnoOf(e) === "ENOENT") return false;
      throw e;
    }
    this.#delete(trash);
    return true;
  }

  /** Deletes what dead processes left. */
  sweep(): void {
    for (const name of readdirSync(this.#dir)) {
      if (name.startsWith("x-")) this.#delete(name);
      else if (!this.#isBeingMade(name)) this.discard(join(this.#dir, name));
    }
  }

  /** Chain IDs that the layers stand on which living processes are making. */
  parentsOfMade(): string[] {
    return readdirSync(this.#dir)
      .filter((name) => this.#isBeingMade(name))
      .map((name) => readRecord<LayerRecord>(join(this.#dir, name, "layer.json"))?.parent)
      .filter((parent) => typeof parent === "string");
  }

  #isBeingMade(name: string): boolean {
    return name.startsWith("b-") && processLives(name.slice(2, name.lastIndexOf("-")));
  }

  /** When all that was discarded is deleted. */
  idle(): Promise<void> {
    return this.#deleting;
  }

  /** One at a time: deleting is never urgent, and libuv's threads are few. */
  #delete(name: string): void {
    this.#deleting = this.#deleting.then(async () => {
      const fd = openSync(this.#dir, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await this.#native.removeTree(fd, name);
      } catch (e) {
        this.#logger.warn({ path: join(this.#dir, name), error: describeError(e) }, "cannot delete; the next start tries again");
      } finally {
        closeSync(fd);
      }
    });
  }
}

import { renameSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, type Logger } from "@gantry/kernel";
import type { StartIntent, StoredSpec, StoredState } from "./model.ts";

const ID = /^[0-9a-f]{64}$/;
const TRASH = ".trash-";
const INTENT = "starting.json";
const EPOCH = "epoch";

/**
 * `<state>/containers/<id>/`: one directory per container. Files are replaced by rename and not synced: they survive every death of
 * the agent; after one of the machine no container runs, and what is missing or torn here is a container that is gone.
 */
export class ContainerStore {
  readonly #root: string;
  readonly #logger: Logger;
  #temporary = 0;

  constructor(root: string, logger: Logger) {
    this.#root = root;
    this.#logger = logger;
  }

  dir(id: string): string {
    return join(this.#root, id);
  }

  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o710 });
    for (const name of await readdir(this.#root)) if (name.startsWith(TRASH)) this.#delete(join(this.#root, name));
  }

  /** The highest scheduler epoch that was obeyed here; 0: none yet. */
  async epoch(): Promise<number> {
    try {
      return Number.parseInt(await readFile(join(this.#root, EPOCH), "utf8"), 10) || 0;
    } catch (e) {
      if (errnoOf(e) === "ENOENT") return 0;
      throw e;
    }
  }

  /** Before the first command of the epoch is obeyed; once for each change of the scheduler. */
  saveEpoch(epoch: number): void {
    const path = join(this.#root, EPOCH);
    writeFileSync(`${path}.new`, `${epoch}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  async create(spec: StoredSpec, state: StoredState): Promise<void> {
    await mkdir(this.dir(spec.id), { mode: 0o710 });
    await Promise.all([this.saveSpec(spec), this.save(spec.id, state)]);
  }

  save(id: string, state: StoredState): Promise<void> {
    return this.#write(id, "state.json", state);
  }

  saveSpec(spec: StoredSpec): Promise<void> {
    return this.#write(spec.id, "spec.json", spec);
  }

  /** Not replaced by rename: a torn one is none. */
  intend(id: string, intent: StartIntent): Promise<void> {
    return writeFile(join(this.dir(id), INTENT), JSON.stringify(intent), { mode: 0o600 });
  }

  async intent(id: string): Promise<StartIntent | null> {
    try {
      return JSON.parse(await readFile(join(this.dir(id), INTENT), "utf8")) as StartIntent;
    } catch (e) {
      if (errnoOf(e) === "ENOENT" || e instanceof SyntaxError) return null;
      throw e;
    }
  }

  forgetIntent(id: string): Promise<void> {
    return rm(join(this.dir(id), INTENT), { force: true });
  }

  async #write(id: string, name: string, value: unknown): Promise<void> {
    const path = join(this.dir(id), name);
    const temporary = `${path}.${this.#temporary++}`;
    await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
    await rename(temporary, path);
  }

  /** Every container whose files are whole. */
  async load(): Promise<{ spec: StoredSpec; state: StoredState }[]> {
    const found: { spec: StoredSpec; state: StoredState }[] = [];
    for (const id of await readdir(this.#root)) {
      if (!ID.test(id)) continue;
      try {
        const [spec, state] = await Promise.all(["spec.json", "state.json"].map((name) => readFile(join(this.dir(id), name), "utf8")));
        found.push({ spec: JSON.parse(spec!) as StoredSpec, state: JSON.parse(state!) as StoredState });
      } catch (e) {
        if (errnoOf(e) !== "ENOENT" && !(e instanceof SyntaxError)) throw e;
        this.#logger.warn({ container: id, err: e }, "a container's files are not whole; it is taken away");
        await this.remove(id);
      }
    }
    return found;
  }

  /** Out of the way at once, deleted in the background. */
  async remove(id: string): Promise<void> {
    const trash = join(this.#root, TRASH + id);
    try {
      await rename(this.dir(id), trash);
    } catch (e) {
      if (errnoOf(e) === "ENOENT") return;
      throw e;
    }
    this.#delete(trash);
  }

  #delete(path: string): void {
    rm(path, { recursive: true, force: true }).catch((e: unknown) => this.#logger.warn({ path, err: e }, "could not delete a container's directory; tried again at the next start"));
  }
}

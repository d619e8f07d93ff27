import { unwatchFile, watchFile } from "node:fs";
import { describeError, type Logger } from "@gantry/kernel";
import type { KeyPair } from "./pem.ts";

const LOOK_MS = 2_000;
const WARN_MS = 14 * 86_400_000;

export interface PemFilesOptions<V> {
  readonly paths: readonly string[];
  /** Reads all of them; `before` is what they held, null at first. Throws where they cannot be used. */
  readonly read: (before: V | null) => Promise<V>;
  readonly logger: Logger;
  /** How often the files are looked at. */
  readonly lookMs?: number;
}

/** A certificate, its key and CAs in files: changed files are read again; until they fit together the ones before hold. */
export class PemFiles<V extends Pick<KeyPair, "cert" | "key" | "certificate"> & { readonly ca: string | null }> implements Disposable {
  readonly #options: PemFilesOptions<V>;
  readonly #listeners = new Set<(loaded: V) => void>();
  readonly #look = (): void => { this.#reading = this.#reading.then(() => this.#read()); };
  #loaded: V;
  #reading: Promise<void> = Promise.resolve();

  private constructor(options: PemFilesOptions<V>, loaded: V) {
    this.#options = options;
    this.#loaded = loaded;
    for (const path of options.paths) watchFile(path, { interval: options.lookMs ?? LOOK_MS, persistent: false }, this.#look);
  }

  /** Throws what `read` throws. */
  static async open<V extends Pick<KeyPair, "cert" | "key" | "certificate"> & { readonly ca: string | null }>(options: PemFilesOptions<V>): Promise<PemFiles<V>> {
    const loaded = await options.read(null);
    const { validToDate } = loaded.certificate;
    if (validToDate.getTime() - Date.now() < WARN_MS) options.logger.warn({ files: options.paths, validTo: validToDate }, "the certificate expires soon");
    return new PemFiles(options, loaded);
  }

  get loaded(): V {
    return this.#loaded;
  }

  /** Calls `listener` with what is read after a change, until the answer is disposed. */
  follow(listener: (loaded: V) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  async #read(): Promise<void> {
    const { paths, read, logger } = this.#options;
    try {
      const [before, loaded] = [this.#loaded, await read(this.#loaded)];
      if (loaded.cert === before.cert && loaded.key === before.key && loaded.ca === before.ca) return;
      this.#loaded = loaded;
      for (const listener of this.#listeners) listener(loaded);
      logger.info({ files: paths, validTo: loaded.certificate.validToDate }, "new certificates are in use");
    } catch (e) {
      logger.warn({ files: paths, error: describeError(e) }, "changed certificate files are not taken; the ones before stay in use");
    }
  }

  [Symbol.dispose](): void {
    for (const path of this.#options.paths) unwatchFile(path, this.#look);
    this.#listeners.clear();
  }
}

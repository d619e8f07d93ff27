import type { Clock } from "@gantry/kernel";
import type { DigestCache } from "./port.ts";

/** `expiresAt` in milliseconds since the epoch; Infinity: kept until evicted. */
interface Entry { readonly value: string; readonly expiresAt: number }

export interface MemoryOptions {
  readonly clock: Clock;
  /** Characters of keys and values kept at most; default 32 million. The least recently used go first. */
  readonly maxCharacters?: number;
}

/** A cache in this process: what was used least recently goes when room is needed. */
export class MemoryDigestCache implements DigestCache {
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #limit: number;
  #characters = 0;

  constructor({ clock, maxCharacters = 32_000_000 }: MemoryOptions) {
    this.#clock = clock;
    this.#limit = maxCharacters;
  }

  async get(space: string, key: string): Promise<string | null> {
    return this.#read(nameOf(space, key));
  }

  async getMany(space: string, keys: readonly string[]): Promise<(string | null)[]> {
    return keys.map((key) => this.#read(nameOf(space, key)));
  }

  async set(space: string, key: string, value: string, ttlSeconds: number): Promise<void> {
    const name = nameOf(space, key);
    this.#drop(name);
    const size = name.length + value.length;
    if (size > this.#limit) return;
    this.#entries.set(name, { value, expiresAt: ttlSeconds > 0 ? this.#clock.now() + ttlSeconds * 1000 : Infinity });
    this.#characters += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#characters <= this.#limit) break;
      this.#drop(oldest);
    }
  }

  async delete(space: string, key: string): Promise<void> {
    this.#drop(nameOf(space, key));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#entries.clear();
    this.#characters = 0;
  }

  #read(name: string): string | null {
    const entry = this.#entries.get(name);
    if (entry === undefined) return null;
    if (entry.expiresAt <= this.#clock.now()) {
      this.#drop(name);
      return null;
    }
    // Put last: the Map's order is the order of use.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry.value;
  }

  #drop(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#characters -= name.length + entry.value.length;
  }
}

/** No space contains a colon, so no two pairs share a name. */
function nameOf(space: string, key: string): string {
  return `${space}:${key}`;
}

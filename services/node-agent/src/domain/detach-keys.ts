import { fail } from "@gantry/contracts";

/** ctrl-p ctrl-q */
export const DEFAULT_DETACH_KEYS = Buffer.from([16, 17]);
const CONTROL: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** Docker's `--detach-keys`: characters and `ctrl-x`, separated by commas. Empty: the default. */
export function parseDetachKeys(text: string): Buffer {
  if (text === "") return DEFAULT_DETACH_KEYS;
  const bad = () => fail("INVALID", `Invalid detach keys (${text}) provided`);
  const keys = text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined) throw bad();
    return CONTROL[control] ?? control.charCodeAt(0) - 96;
  });
  if (keys.length > 64 || keys.some((key) => key > 255)) throw bad();
  return Buffer.from(keys);
}

/** Finds the keys in what a user types, also when they come one by one; what turns out not to be them is passed on. */
export class DetachScanner {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  scan(chunk: Buffer): { pass: Buffer; detached: boolean } {
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        if (++this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true };
        continue;
      }
      if (this.#matched > 0) {
        pass.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
        if (byte === this.#keys[0]) { this.#matched = 1; continue; }
      }
      pass.push(byte);
    }
    return { pass: Buffer.from(pass), detached: false };
  }
}

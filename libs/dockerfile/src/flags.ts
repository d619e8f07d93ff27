import { DockerfileError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

const BOOLEAN = new Set(["link", "parents", "keep-git-dir"]);
const REPEATABLE = new Set(["mount", "exclude"]);

/** The flags of one instruction: known names only, once each where they cannot be repeated. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  private constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  static parse(line: number, words: readonly string[], known: readonly string[]): Flags {
    const values = new Map<string, string[]>();
    for (const word of words) {
      const body = word.slice(2);
      const at = body.indexOf("=");
      const name = at < 0 ? body : body.slice(0, at);
      if (!known.includes(name)) throw new DockerfileError(line, `unknown flag: ${name}${didYouMean(name, known)}`);
      if (values.has(name) && !REPEATABLE.has(name)) throw new DockerfileError(line, `duplicate flag specified: ${name}`);
      if (at < 0 && !BOOLEAN.has(name)) throw new DockerfileError(line, `missing a value on flag: ${name}`);
      const value = at < 0 ? "true" : body.slice(at + 1);
      if (BOOLEAN.has(name) && value !== "true" && value !== "false") {
        throw new DockerfileError(line, `expecting boolean value for flag ${name}, not: ${value}`);
      }
      values.set(name, [...(values.get(name) ?? []), value]);
    }
    return new Flags(values);
  }

  /** Set, and not to false. */
  has(name: string): boolean {
    return this.#values.has(name) && this.#values.get(name)!.at(-1) !== "false";
  }

  text(name: string): string {
    return this.#values.get(name)?.at(-1) ?? "";
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

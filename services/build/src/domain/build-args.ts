/** Arguments that need no ARG, and that change no cache key unless one names them. */
const PREDEFINED = new Set(["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]));

export type Given = Readonly<Record<string, string | null>>;

/** The build arguments that one stage may use: those that its ARG instructions have named so far, and the proxies. */
export class StageArgs {
  readonly #given: Given;
  readonly #globals: ReadonlyMap<string, string>;
  readonly #declared = new Map<string, string | null>();

  constructor(given: Given, globals: ReadonlyMap<string, string>) {
    this.#given = given;
    this.#globals = globals;
  }

  declare(key: string, fallback: string | null): void {
    this.#declared.set(key, fallback);
  }

  /** Name → value, without what the image's ENV has. */
  values(env: readonly string[]): Map<string, string> {
    const hidden = new Set(env.map(keyOf));
    const values = new Map<string, string>();
    for (const [key, fallback] of this.#declared) {
      const value = this.#givenValue(key) ?? fallback ?? this.#globals.get(key);
      if (value !== undefined && !hidden.has(key)) values.set(key, value);
    }
    for (const key of Object.keys(this.#given)) {
      const value = this.#givenValue(key);
      if (PREDEFINED.has(key) && value !== undefined && !this.#declared.has(key) && !hidden.has(key)) values.set(key, value);
    }
    return values;
  }

  /** `["|1", "FOO=bar"]`, which stands before the command in the history; empty where there are no arguments. */
  prefix(values: ReadonlyMap<string, string>): string[] {
    if (values.size === 0) return [];
    const shown = [...values].filter(([key]) => !PREDEFINED.has(key) || this.#declared.has(key)).map(([key, value]) => `${key}=${value}`).sort();
    return [`|${shown.length}`, ...shown];
  }

  #givenValue(key: string): string | undefined {
    return Object.hasOwn(this.#given, key) ? this.#given[key] ?? undefined : undefined;
  }
}

/** Given arguments that no ARG of the Dockerfile names. */
export function unusedArgs(given: Given, declared: Iterable<string>): string[] {
  const known = new Set(declared);
  return Object.keys(given).filter((key) => !known.has(key) && !PREDEFINED.has(key)).sort();
}

export const keyOf = (pair: string): string => (pair.includes("=") ? pair.slice(0, pair.indexOf("=")) : pair);

import { fail } from "./errors.ts";

/** What is kept of a container's log: so many files of so many bytes, the oldest going first. `maxBytes` 0: everything. */
export interface LogBound { readonly maxBytes: number; readonly maxFiles: number }

/** Docker's default for its `local` driver: 5 files of 20 MB. Gantry's for every log, so that none fills a disk. */
const DEFAULT: LogBound = { maxBytes: 20_000_000, maxFiles: 5 };
/** `-1`: no bound, as Docker's json-file has it by default. */
const UNBOUNDED = "-1";
const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, p: 1e15 };

/**
 * What `--log-opt max-size` and `max-file` say; null: nothing is kept. Sizes as in Docker are decimal: `10m`, `1.5 GB`, `512k`, `-1`.
 * INVALID for a value that is none.
 */
export function logBoundOf({ Type, Config }: { readonly Type: string; readonly Config: Readonly<Record<string, string>> }): LogBound | null {
  if (Type === "none") return null;
  const size = Config["max-size"] ?? "";
  const files = Config["max-file"] ?? "";
  if (files !== "" && !/^[0-9]{1,4}$/.test(files)) throw fail("INVALID", `invalid value for max-file: ${JSON.stringify(files)} is not a number of files`);
  if (files !== "" && Number(files) < 1) throw fail("INVALID", "max-file cannot be less than 1");
  return {
    maxBytes: size === "" ? DEFAULT.maxBytes : size === UNBOUNDED ? 0 : bytesOf(size),
    // A json-file that is given a size alone has one file, as in Docker.
    maxFiles: files !== "" ? Number(files) : size === "" || Type === "local" ? DEFAULT.maxFiles : 1,
  };
}

function bytesOf(text: string): number {
  const [, number, unit] = /^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text) ?? [];
  if (number === undefined || unit === undefined) throw fail("INVALID", `invalid size: '${text}'`);
  const bytes = Math.floor(Number(number) * UNITS[unit.toLowerCase()]!);
  if (bytes <= 0) throw fail("INVALID", `max-size must be a positive number, not '${text}'`);
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

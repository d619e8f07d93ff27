import { fail } from "@gantry/contracts";

export const API_VERSION = "1.51";
export const MIN_API_VERSION = "1.24";

/** `a < b`: negative, as numbers part by part (`1.9` < `1.24`). */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export function atLeast(version: string, wanted: string): boolean {
  return compareVersions(version, wanted) >= 0;
}

/** The version of a request: what its path asks for, else ours. Throws INVALID in Docker's words outside 1.24 to 1.51. */
export function negotiate(asked: string | null): string {
  if (asked === null) return API_VERSION;
  if (!/^[0-9]{1,4}(\.[0-9]{1,4}){1,2}$/.test(asked)) throw fail("INVALID", `invalid API version: ${asked.slice(0, 32)}`);
  if (compareVersions(asked, API_VERSION) > 0) {
    throw fail("INVALID", `client version ${asked} is too new. Maximum supported API version is ${API_VERSION}`);
  }
  if (compareVersions(asked, MIN_API_VERSION) < 0) {
    throw fail("INVALID", `client version ${asked} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`);
  }
  return asked;
}

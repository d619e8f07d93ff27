import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** A file changed twice in one tick of the kernel's clock has the same times: times this young, in ms, prove nothing yet. */
const TICK_MS = 50;

/**
 * What stat(2) tells of files, hashed: no change of a file leaves it as it was, for nobody can set its ctime. Null if one is missing.
 * `olderThan(ms)`: whether none of them has changed since that time (ms since 1970), with certainty.
 */
export function statFingerprint(root, files) {
  const hash = createHash("sha256");
  let newest = 0n;
  for (const file of files) {
    const stat = statSync(join(root, file), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return null;
    if (stat.ctimeNs > newest) newest = stat.ctimeNs;
    hash.update(`${file}\0${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino}\n`);
  }
  return { print: hash.digest("hex"), olderThan: (ms) => Number(newest / 1_000_000n) < ms - TICK_MS };
}

/** Names and contents of files, hashed: the same wherever the checkout lies. */
export function contentFingerprint(root, files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

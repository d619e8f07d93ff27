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
  let text = "";
  let newest = 0;
  for (const file of files) {
    const stat = statSync(`${root}/${file}`, { throwIfNoEntry: false });
    if (stat === undefined) return null;
    if (stat.ctimeMs > newest) newest = stat.ctimeMs;
    text += `${file}\0${stat.size} ${stat.mtimeMs} ${stat.ctimeMs} ${stat.ino}\n`;
  }
  return { print: createHash("sha256").update(text).digest("hex"), olderThan: (ms) => newest < ms - TICK_MS };
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

/**
 * Writes the golden copies of every contract: `node libs/contracts/src/update-golden.ts`. Refuses changes that are not additive;
 * `--breaking` writes them all the same, for contracts that were never released.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { breaches, toGolden } from "./golden.ts";
import { GOLDEN_DIR, goldenPath, goldenText, readGolden } from "./golden-files.ts";
import { allContracts } from "./index.ts";

mkdirSync(GOLDEN_DIR, { recursive: true });
const before = readGolden();
const now = new Map([...allContracts()].map(([name, contract]) => [name, toGolden(contract)]));
const faults = [...before].flatMap(([name, golden]) => {
  const current = now.get(name);
  return current === undefined ? [`${name}: was removed`] : breaches(golden, current);
});

if (faults.length > 0 && !process.argv.includes("--breaking")) {
  console.error(`${faults.join("\n")}\nThese changes break who speaks the old version: add a new version (.v2) beside it.`);
  process.exit(1);
}
for (const [name, golden] of now) writeFileSync(goldenPath(name), goldenText(golden));
for (const name of before.keys()) if (!now.has(name)) rmSync(goldenPath(name));
console.log(`${now.size} contracts, ${[...now.keys()].filter((name) => !before.has(name)).length} new`);
